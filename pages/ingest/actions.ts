/** What can be done, after the function's own table of operations: one that is new there appears here. */

import type { Operation, Operations, Status } from "./api";
import type { Action } from "./dialog";

const OF_RUNS_ONLY = ["resume", "run"];

/** Labels of known operations; others are called by their names. */
const LABELS: Record<string, string> = {
  start: "New ingest…",
  audit: "Audit…",
  export: "Export…",
  retry: "Retry failed chunks…",
  fill: "Fill in attributes…",
  cancel: "Cancel…",
};

/** What they do, where the function's own words say more than is asked for here. */
const TEXTS: Record<string, string> = {
  start: "Computes the rows of all chunks, or of those in a box, as the graph is at a moment.",
};

/** Where a known operation has nothing to do for a run, it is left out. */
const IS_OF_USE: Record<string, (run: Status) => boolean> = {
  retry: (run) => run.state === "finished" && run.failed_chunks > 0,
  fill: (run) => run.state === "finished" && (run.kind ?? "ingest") === "ingest",
  cancel: (run) => run.state === "running",
};

function label(operation: Operation): string {
  const words = operation.name.replaceAll("_", " ");
  return LABELS[operation.name] ?? `${words[0]!.toUpperCase()}${words.slice(1)}…`;
}

function has(operation: Operation, field: string): boolean {
  return operation.fields.some((one) => one.name === field);
}

function changing(all: Operations): Operation[] {
  return all.operations.filter((operation) => !operation.methods.includes("GET"));
}

function isOfRuns(operation: Operation): boolean {
  return has(operation, "run") && !has(operation, "timestamp");
}

/** What can be done with a dataset. */
export function datasetActions(all: Operations, dataset: string): Action[] {
  const found: Action[] = [];
  for (const operation of changing(all).filter((one) => has(one, "dataset") && !isOfRuns(one))) {
    const action = { operation, text: TEXTS[operation.name] ?? operation.help, values: { dataset }, hidden: OF_RUNS_ONLY };
    found.push({ ...action, label: label(operation) });
    if (operation.name === "start" && has(operation, "test")) {
      const text = "Computes the 8 chunks around the middle; the next plan then rests on this dataset's own rates.";
      found.push({ ...action, label: "Test run…", text, preset: { test: true } });
    }
  }
  return found;
}

/** What can be done with a run as it is now. */
export function runActions(all: Operations, run: Status): Action[] {
  const values = { dataset: run.dataset, run: run.run_id };
  const found: Action[] = changing(all)
    .filter((operation) => isOfRuns(operation) && (IS_OF_USE[operation.name]?.(run) ?? true))
    .map((operation) => ({
      label: label(operation), operation, text: operation.help, values, isGrave: operation.name === "cancel",
    }));
  const start = all.operations.find((operation) => operation.name === "start" && has(operation, "resume"));
  if (start && run.state !== "finished") {
    const names = start.fields.map((field) => field.name);
    const text = "Goes on with a cancelled or stuck run: what is done is skipped.";
    const resume = { label: "Resume…", operation: start, text, values: { ...values, resume: true }, hidden: names };
    found.unshift(resume);
  }
  const audit = all.operations.find((operation) => operation.name === "audit");
  if (audit && Number(run.audit?.["missing"] ?? 0) > Number(run.audit?.["repaired"] ?? 0)) {
    const preset = { timestamp: run.timestamp, repair: true };
    const text = "Audits again, and computes the rows that are missing.";
    found.unshift({ label: "Repair…", operation: audit, text, values: { dataset: run.dataset }, preset });
  }
  return found;
}
