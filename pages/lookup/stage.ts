/** The view in space with what belongs to it: the choice of colours, the legend, and the node that is chosen. */

import { copyText, el } from "../common/dom";
import { areaUm2, lengthNm, many, significant, volumeUm3, whole } from "../common/format";
import { colourOf, type Rgb, rgb, scaleColour, scaleStops } from "../common/palette";
import { MEASURES, type Measure, type Nodes, SAID } from "./nodes";
import { canDraw, tintsOf, View } from "./view";

const NEURON = "neuron";
/** What nodes may be coloured by, in words. */
export const COLOURINGS: Record<string, string> = {
  [NEURON]: "neuron",
  max_dt_nm: "radius",
  mean_dt_nm: "mean distance",
  size_nm3: "volume",
  area_nm2: "surface",
};
const LARGEST_GROWTH = 6;
const DEFAULT_GROWTH = "1.5";

export class Stage {
  /** Null where the browser cannot draw in space. */
  readonly view: View | null;
  private readonly colouring: HTMLSelectElement;
  private readonly axes: HTMLInputElement;
  private readonly growth: HTMLInputElement;
  private readonly legend = el("div", { class: "legend" });
  private readonly detail = el("div", { class: "detail panel", hidden: true });
  private readonly extent = el("p", { class: "extent soft" });
  private nodes: Nodes | null = null;
  private selected = -1;

  /**
   * @param holder gets all of it.
   * @param chosen called with the node that is clicked, or -1.
   * @param moved called when what the address tells of the view has changed.
   */
  constructor(holder: HTMLElement, chosen: (row: number) => void, moved: () => void) {
    const options = Object.entries(COLOURINGS).map(([value, title]) => el("option", { value }, title));
    this.colouring = el("select", { id: "colouring" }, ...options);
    this.axes = el("input", { type: "checkbox", id: "axes" });
    this.growth = el("input", { type: "range", id: "growth", min: 0.5, max: LARGEST_GROWTH, step: 0.5, value: DEFAULT_GROWTH });
    const again = (): void => {
      this.paint();
      moved();
    };
    this.colouring.addEventListener("change", again);
    this.axes.addEventListener("change", again);
    this.growth.addEventListener("input", again);
    this.view = canDraw() ? new View(holder, chosen, moved) : null;
    if (!this.view) {
      holder.classList.add("no-webgl");
      holder.append(el("p", {}, "This browser cannot draw in space (it has no WebGL). The neurons and the table show all the same."));
      return;
    }
    const fit = el("button", { type: "button", click: () => (this.view?.fit(), moved()) }, "Show all");
    const bar = el(
      "div",
      { class: "view-bar" },
      el("label", {}, "Colour by ", this.colouring),
      el("label", {}, "Size ", this.growth),
      el("label", {}, this.axes, " Principal axes"),
      fit,
    );
    holder.append(bar, this.legend, this.extent, this.detail);
  }

  /** The choices, for the address: colouring, axes, size. */
  get choices(): { colour: string; axes: string; size: string; camera: string } {
    return {
      colour: this.colouring.dataset["chosen"] ?? "",
      axes: this.axes.checked ? "1" : "",
      size: this.growth.value === DEFAULT_GROWTH ? "" : this.growth.value,
      camera: this.view?.camera6 ?? "",
    };
  }

  /** Takes over choices from the address. */
  choose(colour: string, axes: string, size: string): void {
    if (colour in COLOURINGS) this.colouring.dataset["chosen"] = this.colouring.value = colour;
    this.colouring.addEventListener("change", () => (this.colouring.dataset["chosen"] = this.colouring.value), { capture: true });
    this.axes.checked = axes === "1";
    if (size) this.growth.value = size;
  }

  /** Shows nodes, or what has become of them. */
  show(nodes: Nodes, groups: number): void {
    this.nodes = nodes;
    if (!this.colouring.dataset["chosen"]) this.colouring.value = groups > 1 ? NEURON : "max_dt_nm";
    this.paint();
    this.select(this.selected < nodes.count ? this.selected : -1);
  }

  /** Draws anew, in the colours that hold now. */
  paint(): void {
    const { nodes, view } = this;
    if (!nodes || !view) return;
    const key = this.colouring.value;
    const measure = MEASURES.find((name) => name === key);
    const range = measure ? rangeOf(nodes.measures[measure]) : null;
    const owners = new Map<number, Rgb>();
    const ofOwner = (owner: number): Rgb => {
      const known = owners.get(owner) ?? rgb(colourOf(owner));
      owners.set(owner, known);
      return known;
    };
    const colour =
      measure && range
        ? (row: number): Rgb => scaleColour(placeIn(range, nodes.measures[measure][row]!))
        : (row: number): Rgb => ofOwner(nodes.owners[row]!);
    view.grow(Number(this.growth.value));
    view.show(nodes, tintsOf(nodes.count, colour));
    view.showAxes(this.axes.checked);
    this.drawLegend(measure ?? null, range);
    const [x, y, z] = view.extentNm.map((nm) => significant(nm / 1000));
    const sphere = this.growth.value === "1" ? "spheres as thick as the nodes" : `spheres ${this.growth.value} times as thick as the nodes`;
    this.extent.textContent = nodes.rowsIn("cached").length ? `${x} × ${y} × ${z} µm · ${sphere}` : "";
  }

  /** Shows a node: a ring around it, and its values. */
  select(row: number): void {
    this.selected = row;
    this.view?.select(row);
    this.detail.hidden = row < 0 || !this.nodes;
    if (row >= 0 && this.nodes) this.detail.replaceChildren(...detailOf(this.nodes, row));
  }

  private drawLegend(measure: Measure | null, range: [number, number] | null): void {
    this.legend.hidden = !measure || !range;
    if (!measure || !range) return;
    const bar = el("span", { class: "legend-bar", "aria-hidden": "true" });
    bar.style.background = `linear-gradient(to right, ${scaleStops().join(", ")})`;
    this.legend.replaceChildren(
      el("span", {}, COLOURINGS[measure]),
      el("span", { class: "legend-scale" }, measured(measure, range[0]), bar, measured(measure, range[1])),
    );
  }
}

/** A measure as text, in the unit that people use for it. */
export function measured(measure: Measure, value: number): string {
  if (Number.isNaN(value)) return "–";
  if (measure === "size_nm3") return volumeUm3(value);
  return measure === "area_nm2" ? areaUm2(value) : lengthNm(value);
}

/** The smallest and the largest positive number; null if there is none. */
function rangeOf(values: Float64Array): [number, number] | null {
  let [low, high] = [Infinity, 0];
  for (const value of values) {
    if (value > 0 && value < low) low = value;
    if (value > high) high = value;
  }
  return high > 0 ? [low, high] : null;
}

/** Where a number lies in a range, from 0 to 1, by its logarithm. */
function placeIn([low, high]: [number, number], value: number): number {
  return value > 0 && high > low ? Math.log(value / low) / Math.log(high / low) : 0;
}

function detailOf(nodes: Nodes, row: number): HTMLElement[] {
  const id = String(nodes.ids[row]);
  const copy = el("button", { type: "button", class: "quiet small", "aria-label": `Copy ${id}` }, "Copy");
  copy.addEventListener("click", () => void copyText(id, copy));
  const said = SAID[nodes.state(row)];
  const at = Array.from(nodes.pointsNm.subarray(3 * row, 3 * row + 3));
  const values: [string, string][] = MEASURES.map((name) => [COLOURINGS[name]!, measured(name, nodes.measures[name][row]!)]);
  values.push(["at", Number.isNaN(at[0]!) ? "–" : `${at.map(whole).join(", ")} nm`]);
  return [
    el("header", {}, el("strong", { class: "mono" }, id), copy),
    el("p", { class: `state state-${said.look}` }, said.word),
    el("dl", { class: "figures" }, ...values.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
  ];
}

/** What to say of the nodes in a line. */
export function countsLine(nodes: Nodes): string {
  const counts = nodes.counts();
  const parts = Object.entries(counts).filter(([state, count]) => count && state !== "cached");
  const others = parts.map(([state, count]) => `${whole(count)} ${SAID[state as keyof typeof SAID].word}`);
  return [many(nodes.count, "node"), `${whole(counts.cached)} cached`, ...others].join(" · ");
}
