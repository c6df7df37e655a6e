/** One run: how far it is, how fast, where, and what failed. */

import { byId, copyText, el, type Child } from "../common/dom";
import { duration, many, significant, whole } from "../common/format";
import { read, type ChunkMap, type Operations, type Pace, type Status } from "./api";
import { runActions } from "./actions";
import { progressBar } from "./bar";
import { rateChart } from "./chart";
import type { Action } from "./dialog";
import { FailureList } from "./failures";
import { MapView } from "./map";
import { kindOf, moment, percent, stateOf } from "./words";

const STEPS = 80;
const CELLS = 96;
const PADDING_PX = 14;

/** What an audit counts, in words. */
const AUDITED: Record<string, string> = {
  l2_ids: "L2 ids in the graph",
  rows: "Rows in the table",
  empty: "Rows without voxels",
  missing: "Rows missing",
  repaired: "Rows computed now",
  of_other_moments: "Rows of other moments",
  orphaned: "Rows of no node",
  verified: "Rows computed anew",
  differing: "Rows that differ",
};

export class RunView {
  private readonly map = new MapView();
  private readonly failures: FailureList;
  private readonly summary = el("div", {});
  private readonly rate = el("section", { class: "panel" });
  private readonly where = el("section", { class: "panel" }, el("h3", {}, "Where"), this.map.element);
  private readonly what = el("section", { class: "panel" });
  private seen = "";
  private shownFailed = "";

  /**
   * @param all operations.
   * @param act asks the reader about an action.
   * @param failed told of what went wrong.
   */
  constructor(
    private readonly all: Operations,
    private readonly act: (action: Action) => void,
    failed: (error: unknown) => void,
  ) {
    this.failures = new FailureList((chunk) => this.map.mark(chunk), failed);
    this.what.append(el("h3", {}, "Failed chunks"), this.failures.element);
    byId("run").append(this.summary, this.rate, this.where, this.what);
    this.hide();
  }

  /** Shows that there is none. */
  hide(): void {
    this.seen = "";
    for (const part of [this.rate, this.where, this.what]) part.hidden = true;
    this.summary.replaceChildren();
  }

  /** Draws anew what has colours of its own. */
  redraw(): void {
    this.map.draw();
  }

  /** Asks for what has changed since the last time, one request after the other. */
  async refresh(dataset: string, run: string, signal: AbortSignal): Promise<Status> {
    const status = await read<Status>("status", { dataset, run, retrying: true }, signal);
    const now = JSON.stringify([run, status.state, status.generation, status.completed_chunks, status.failed_chunks]);
    this.drawSummary(status);
    if (now === this.seen && status.state !== "running") return status;
    const about = { dataset, run };
    this.drawRate(await read<Pace>("pace", { ...about, steps: STEPS }, signal), status);
    if (now !== this.seen) {
      const map = await read<ChunkMap>("map", { ...about, cells: CELLS }, signal);
      this.where.hidden = false;
      this.map.show(map);
      await this.showFailures(status, signal);
    }
    this.seen = now;
    return status;
  }

  private async showFailures(status: Status, signal: AbortSignal): Promise<void> {
    const now = JSON.stringify([status.run_id, status.generation, status.failed_chunks]);
    if (now !== this.shownFailed) this.map.mark(null);
    if (status.failed_chunks && now !== this.shownFailed) {
      await this.failures.show(status.dataset, status.run_id, signal);
    }
    this.what.hidden = !status.failed_chunks;
    this.shownFailed = now;
  }

  private drawSummary(status: Status): void {
    const [state, shade] = stateOf(status);
    byId("run-title").textContent = `${kindOf(status)} of ${status.dataset}`;
    const focused = (document.activeElement as HTMLElement | null)?.dataset["key"];
    const buttons = runActions(this.all, status).map((action) =>
      el(
        "button",
        { type: "button", class: action.isGrave ? "danger" : "", "data-key": action.label, click: () => this.act(action) },
        action.label,
      ),
    );
    const copy = el("button", { type: "button", class: "quiet", "data-key": "copy" }, "Copy its id");
    copy.addEventListener("click", () => void copyText(status.run_id, copy));
    const share = percent(status.completed_chunks, status.total_chunks);
    this.summary.replaceChildren(
      el(
        "div",
        { class: "panel summary" },
        el("div", { class: "summary-head" }, el("span", { class: `state state-${shade}` }, state), el("b", {}, `${share} done`)),
        progressBar(status),
        el("dl", { class: "figures" }, ...figures(status).map(([name, text]) => figure(name, text))),
        status.retrying_chunks ? retrying(status) : null,
        status.audit ? auditView(status.audit) : null,
        el("div", { class: "buttons" }, ...buttons, copy),
      ),
    );
    if (focused) this.summary.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  private drawRate(pace: Pace, status: Status): void {
    const generation = status.generation ? `, generation ${pace.generation}` : "";
    this.rate.replaceChildren(
      el("h3", {}, "Chunks per second", el("span", { class: "soft" }, ` since ${moment(pace.start)}${generation}`)),
      rateChart(pace, Math.max(240, this.summary.clientWidth - 2 * PADDING_PX)),
    );
    this.rate.hidden = !pace.chunks_per_s.some((rate) => rate > 0);
  }
}

function figure(name: string, text: Child): HTMLElement {
  return el("div", {}, el("dt", {}, name), el("dd", {}, text));
}

function figures(run: Status): [string, string][] {
  const open = run.total_chunks - run.completed_chunks - run.failed_chunks;
  const left = run.time_left_s === null ? "not known" : duration(run.time_left_s);
  const found: [string, string][] = [
    ["Chunks done", `${whole(run.completed_chunks)} of ${whole(run.total_chunks)}`],
    ["Failed", whole(run.failed_chunks)],
    ["Open", whole(open)],
    [run.kind === "audit" ? "Rows written" : "Rows", whole(run.rows)],
    ["Rate", `${significant(run.chunks_per_s)} chunks/s`],
  ];
  if (run.state === "running") found.push(["Time left", left]);
  found.push(["Started", moment(run.started)], ["Graph at", moment(run.timestamp)]);
  if (run.generation) found.push(["Generation", whole(run.generation)]);
  return found;
}

function retrying(run: Status): HTMLElement {
  const reasons = (run.retrying ?? []).map((one) => `${one.reason} (${many(one.chunks, "chunk")})`).join("; ");
  return el("p", { class: "state-warn" }, `Trying again ${many(run.retrying_chunks ?? 0, "chunk")} that had failed: ${reasons}`);
}

function auditView(audit: NonNullable<Status["audit"]>): HTMLElement {
  const counts = Object.entries(AUDITED).map(([name, text]) => figure(text, whole(Number(audit[name] ?? 0))));
  const rows = audit["differing_rows"] as string[];
  return el(
    "div",
    { class: "audited" },
    el("h3", {}, "What it found"),
    el("dl", { class: "figures" }, ...counts),
    rows.length > 0 && el("details", {}, el("summary", {}, "Rows that differ"), el("ul", { class: "mono" }, ...rows.map((row) => el("li", {}, row)))),
  );
}
