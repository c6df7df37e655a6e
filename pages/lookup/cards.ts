/** A card for each neuron: what it adds up to, and what of it is missing and why. */

import { copyText, el } from "../common/dom";
import { areaUm2, lengthNm, many, significant, volumeUm3, whole } from "../common/format";
import { colourOf } from "../common/palette";
import type { Group } from "./loading";
import { SAID, type Nodes, type State } from "./nodes";

/** What stands in the place of rows, in the order in which it is told. */
const LACKING: State[] = ["pending", "missing", "failed", "unknown", "impossible", "asked"];

/**
 * @param groups all that is on the page.
 * @param removed called with the group that the reader takes away.
 */
export function cards(groups: Group[], nodes: Nodes, removed: (owner: number) => void): HTMLElement[] {
  return groups.map((group, owner) => card(group, owner, nodes, () => removed(owner)));
}

function card(group: Group, owner: number, nodes: Nodes, removed: () => void): HTMLElement {
  const name = group.root === null ? many(group.count, "L2 id") : String(group.root);
  const element = el("article", { class: "panel card", "aria-label": group.root === null ? name : `Neuron ${name}` }, heading(name, group, owner, removed));
  if (group.error ?? group.total?.error) {
    element.append(el("p", { class: "state state-bad" }, group.error ?? group.total!.error!));
    return element;
  }
  element.append(completeness(group, nodes.counts(owner)), figures(group, owner, nodes), ...reasons(group));
  return element;
}

function heading(name: string, group: Group, owner: number, removed: () => void): HTMLElement {
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = colourOf(owner);
  const copy = el("button", { type: "button", class: "quiet small", "aria-label": `Copy ${name}` }, "Copy");
  copy.addEventListener("click", () => void copyText(name, copy));
  const away = el("button", { type: "button", class: "quiet small", "aria-label": `Remove ${name}`, click: removed }, "×");
  return el("header", {}, swatch, el("h2", { class: "mono" }, name), group.root !== null && copy, away);
}

function completeness(group: Group, counts: Record<State, number>): HTMLElement {
  const lacking = LACKING.filter((state) => counts[state]);
  if (!lacking.length) {
    const there = counts.cached + counts.empty;
    const said = group.total?.complete || group.root === null ? "complete" : "all nodes are there";
    return el("p", { class: "state state-good", "data-state": "complete" }, there ? said : "no nodes");
  }
  const parts = lacking.map((state) =>
    el("li", { class: `state state-${SAID[state].look}` }, `${whole(counts[state])} ${SAID[state].word}`),
  );
  return el("ul", { class: "lacking", "data-state": "incomplete" }, ...parts);
}

function figures(group: Group, owner: number, nodes: Nodes): HTMLElement {
  const { total } = group;
  const rows: [string, string][] = total
    ? [
        ["Volume", volumeUm3(Number(total.size_nm3))],
        ["Surface", areaUm2(Number(total.area_nm2))],
        ["L2 nodes", total.complete ? whole(total.n_l2) : `${whole(total.n_l2 - total.n_missing)} of ${whole(total.n_l2)}`],
        ["Thickest", total.max_dt_nm === null ? "–" : `${lengthNm(total.max_dt_nm)} radius`],
        ["Extent", total.bounds_nm ? extent(total.bounds_nm) : "–"],
        ["From", total.bounds_nm ? place(total.bounds_nm[0]) : "–"],
        ["To", total.bounds_nm ? place(total.bounds_nm[1]) : "–"],
      ]
    : [
        ["Volume", volumeUm3(sum(nodes.measures.size_nm3, owner, nodes))],
        ["Surface", areaUm2(sum(nodes.measures.area_nm2, owner, nodes))],
      ];
  return el("dl", { class: "figures" }, ...rows.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
}

function reasons(group: Group): HTMLElement[] {
  const byReason = new Map<string, number>();
  for (const { reason } of group.failures) byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
  return [...byReason].map(([reason, count]) => el("p", { class: "reason" }, `${many(count, "node")}: ${reason}`));
}

function sum(values: Float64Array, owner: number, nodes: Nodes): number {
  return values.reduce((total, value, row) => (nodes.owners[row] === owner && value > 0 ? total + value : total), 0);
}

function extent([low, high]: [number[], number[]]): string {
  return `${low.map((start, axis) => significant((high[axis]! - start) / 1000)).join(" × ")} µm`;
}

function place(nm: number[]): string {
  return `${nm.map((value) => whole(value)).join(", ")} nm`;
}
