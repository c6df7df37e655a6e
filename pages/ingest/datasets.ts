/** The list of datasets with their runs. */

import { el } from "../common/dom";
import { many } from "../common/format";
import type { DatasetRuns, Operations, Status } from "./api";
import { datasetActions } from "./actions";
import { progressBar } from "./bar";
import type { Action } from "./dialog";
import { kindOf, moment, progressText, stateOf } from "./words";

export interface Handlers {
  chosen(run: Status): void;
  act(action: Action): void;
  older(dataset: string): void;
  dismiss(dataset: string, run: string): void;
}

/** Draws the list; what has the focus keeps it. */
export function drawDatasets(
  place: HTMLElement,
  all: Operations,
  datasets: DatasetRuns[],
  chosen: string,
  handlers: Handlers,
): void {
  const focused = (document.activeElement as HTMLElement | null)?.dataset["key"];
  const scrolled = place.scrollTop;
  place.replaceChildren(...datasets.map((one) => datasetView(all, one, chosen, handlers)));
  if (!datasets.length) place.append(el("p", { class: "panel soft" }, "No dataset is configured."));
  place.scrollTop = scrolled;
  if (focused) place.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function datasetView(all: Operations, one: DatasetRuns, chosen: string, handlers: Handlers): HTMLElement {
  const nothing = one.has_table ? "No run yet." : "No table yet: the first ingest makes it.";
  const key = (text: string): string => `${one.dataset}/${text}`;
  const buttons = datasetActions(all, one.dataset).map((action) =>
    el("button", { type: "button", "data-key": key(action.label), click: () => handlers.act(action) }, action.label),
  );
  return el(
    "section",
    { class: "panel dataset" },
    el("h2", {}, one.dataset),
    el("p", { class: "soft mono table-name" }, one.table),
    el("div", { class: "buttons" }, ...buttons),
    one.runs.length || one.older_runs ? el("ul", { class: "runs" }, ...one.runs.map((run) => runView(run, chosen, handlers))) : el("p", { class: "soft" }, nothing),
    ...one.unreadable.map((run) =>
      el(
        "p",
        { class: "state-bad" },
        `Run ${run.run_id} cannot be read: ${run.reason} `,
        el("button", { type: "button", click: () => handlers.dismiss(one.dataset, run.run_id) }, "Dismiss…"),
      ),
    ),
    one.older_runs > 0 &&
      el(
        "button",
        { type: "button", class: "quiet", "data-key": key("older"), click: () => handlers.older(one.dataset) },
        `Show ${many(one.older_runs, "older run")}`,
      ),
  );
}

function runView(run: Status, chosen: string, handlers: Handlers): HTMLElement {
  const [state, shade] = stateOf(run);
  const isChosen = run.run_id === chosen;
  return el(
    "li",
    {},
    el(
      "button",
      {
        type: "button",
        class: "run",
        "data-key": `${run.dataset}/${run.run_id}`,
        "aria-current": isChosen ? "true" : null,
        click: () => handlers.chosen(run),
      },
      el("span", { class: "run-head" }, el("b", {}, kindOf(run)), el("span", { class: `state state-${shade}` }, state)),
      progressBar(run),
      el("span", { class: "soft" }, progressText(run)),
      el("span", { class: "soft" }, `graph at ${moment(run.timestamp)}`),
    ),
  );
}
