/** What a reader takes away: files of the nodes, code that gets the same, and the way to neuroglancer. */

import { copyText, el, saveFile } from "../common/dom";
import { many } from "../common/format";
import type { Datasets } from "./ids";
import type { Loading } from "./loading";
import { linkHasAll, neuroglancerLink, neuroglancerState } from "./neuroglancer";
import * as service from "./service";
import { curlSnippet, pythonSnippet } from "./snippets";

const MOST_IN_FILE = 100_000;
const FILES: [string, string, string][] = [
  ["arrow", "Arrow", "application/vnd.apache.arrow.stream"],
  ["csv", "CSV", "text/csv"],
  ["json", "JSON", "application/json"],
];

/** The panel; `failed` is called with what goes wrong later. */
export function takeaway(loading: Loading, datasets: Datasets, failed: (error: unknown) => void): HTMLElement[] {
  return [el("h2", {}, "Take away"), files(loading, failed), neuroglancer(loading, datasets), ...snippets(loading, datasets)];
}

function files(loading: Loading, failed: (error: unknown) => void): HTMLElement {
  const ids = BigUint64Array.from(new Set(loading.nodes.ids)).sort();
  const isTooLarge = ids.length > MOST_IN_FILE;
  const buttons = FILES.map(([format, title, type]) => {
    const button = el("button", { type: "button", disabled: isTooLarge || !ids.length }, title);
    button.addEventListener("click", () => {
      button.disabled = true;
      service
        .download(loading.dataset, ids, format)
        .then((content) => saveFile(`${loading.dataset}_nodes.${format}`, content, type), failed)
        .finally(() => (button.disabled = false));
    });
    return button;
  });
  const hint = isTooLarge && el("p", { class: "soft" }, `A file has at most ${many(MOST_IN_FILE, "node")}: use the code.`);
  return el("div", { class: "choices", role: "group", "aria-label": "Files with all attributes of these nodes" }, ...buttons, hint);
}

function neuroglancer(loading: Loading, datasets: Datasets): HTMLElement {
  const source = datasets[loading.dataset]?.cv_path ?? "";
  const { groups, nodes } = loading;
  const properties = { href: neuroglancerLink(source, groups, nodes), target: "_blank", rel: "noopener noreferrer" };
  const copy = el("button", { type: "button" }, "Copy its state");
  copy.addEventListener("click", () => void copyText(JSON.stringify(neuroglancerState(source, groups, nodes), null, 1), copy));
  const hint = !linkHasAll(nodes) && el("p", { class: "soft" }, "The link has the largest nodes as points, the state has all.");
  return el("div", { class: "choices" }, el("a", { ...properties, class: "button" }, "Open in neuroglancer"), copy, hint);
}

function snippets(loading: Loading, datasets: Datasets): HTMLElement[] {
  const roots = loading.groups.flatMap(({ root }) => (root === null ? [] : [root]));
  const l2Ids = roots.length ? [] : Array.from(loading.nodes.ids);
  const { dataset } = loading;
  const cvPath = datasets[dataset]?.cv_path ?? "";
  return [
    code("Python", pythonSnippet(location.origin, dataset, cvPath, roots, l2Ids)),
    code("curl", curlSnippet(service.apiUrl(dataset), roots, l2Ids)),
  ];
}

function code(title: string, text: string): HTMLElement {
  const copy = el("button", { type: "button", class: "small", "aria-label": `Copy the ${title}` }, "Copy");
  copy.addEventListener("click", () => void copyText(text, copy));
  const block = el("pre", { class: "mono", tabindex: 0, "aria-label": `${title} code` }, text);
  return el("details", { class: "code" }, el("summary", {}, title), el("div", { class: "code-body" }, copy, block));
}
