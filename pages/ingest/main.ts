/** The ingest function's page: runs of all datasets, one of them in full, and what can be done. */

import { announce, byId } from "../common/dom";
import { readFragment, writeFragment } from "../common/fragment";
import { followTheme } from "../common/theme";
import { read, type DatasetRuns, type Operations, type Status } from "./api";
import { drawDatasets, type Handlers } from "./datasets";
import { ask, type Action } from "./dialog";
import { Poller } from "./poller";
import { RunView } from "./run";
import { kindOf, stateOf } from "./words";

const OVERVIEW_MS = 5000;
const RUN_MS = 1500;

class Page {
  private datasets: DatasetRuns[] = [];
  private readonly older = new Map<string, Status[]>();
  private dataset = readFragment().get("dataset") ?? "";
  private run = readFragment().get("run") ?? "";
  private readonly view: RunView;
  private readonly overview: Poller;
  private following: Poller | null = null;
  private drawn = "";
  private told = "";

  constructor(private readonly all: Operations) {
    this.view = new RunView(all, (action) => this.act(action), showTrouble);
    followTheme(() => this.view.redraw());
    this.overview = new Poller((signal) => this.refresh(signal), OVERVIEW_MS, showTrouble);
    if (this.run) this.follow();
  }

  private async refresh(signal: AbortSignal): Promise<void> {
    this.datasets = (await read<{ datasets: DatasetRuns[] }>("overview", {}, signal)).datasets;
    this.draw();
    const newest = this.datasets.flatMap((one) => one.runs);
    const first = newest.find((run) => run.state === "running") ?? newest[0];
    if (!this.run && first) this.choose(first);
  }

  private draw(): void {
    const listed = this.datasets.map((one) => this.withOlder(one));
    const now = JSON.stringify([listed, this.run]);
    if (now === this.drawn) return;
    this.drawn = now;
    const handlers: Handlers = {
      chosen: (run) => {
        this.choose(run);
        byId("run-title").focus();
      },
      act: (action) => this.act(action),
      older: (dataset) => void this.loadOlder(dataset),
      dismiss: (dataset, run) => this.dismiss(dataset, run),
    };
    drawDatasets(byId("datasets"), this.all, listed, this.run, handlers);
  }

  private withOlder(one: DatasetRuns): DatasetRuns {
    const known = this.older.get(one.dataset);
    if (!known) return one;
    const newest = new Set(one.runs.map((run) => run.run_id));
    const older = known.filter((run) => !newest.has(run.run_id));
    return { ...one, runs: [...one.runs, ...older], older_runs: Math.max(0, one.older_runs - older.length) };
  }

  private async loadOlder(dataset: string): Promise<void> {
    try {
      const { runs } = await read<{ runs: Status[] }>("runs", { dataset });
      this.older.set(dataset, runs.reverse());
      this.draw();
    } catch (error) {
      showTrouble(error);
    }
  }

  private choose(run: { dataset: string; run_id: string }): void {
    [this.dataset, this.run] = [run.dataset, run.run_id];
    writeFragment({ dataset: this.dataset, run: this.run });
    this.told = "";
    this.draw();
    this.follow();
  }

  /** Looks at the chosen run again and again. */
  private follow(): void {
    this.following?.stop();
    this.view.hide();
    const [dataset, run] = [this.dataset, this.run];
    this.following = new Poller(
      async (signal) => this.tell(await this.view.refresh(dataset, run, signal)),
      RUN_MS,
      showTrouble,
    );
  }

  private tell(status: Status): void {
    const now = `${kindOf(status)} of ${status.dataset}: ${stateOf(status)[0]}`;
    if (this.told && now !== this.told) {
      announce(now);
      this.overview.now();
    }
    this.told = now;
    document.title = `${stateOf(status)[0]}: ${status.dataset}, L2 cache`;
  }

  private act(action: Action): void {
    ask(this.all, action, (answer) => {
      const dataset = String(action.values["dataset"] ?? this.dataset);
      if (answer.run_id && answer.state !== "dismissed") this.choose({ dataset, run_id: answer.run_id });
      this.overview.now();
      this.following?.now();
    });
  }

  private dismiss(dataset: string, run: string): void {
    const operation = this.all.operations.find((one) => one.name === "cancel");
    if (!operation) return;
    const text = "The run is listed no more; what is in the table stays.";
    this.act({ label: "Dismiss…", operation, text, values: { dataset, run }, isGrave: true });
  }
}

/** Tells what went wrong, until it goes well again. */
function showTrouble(error: unknown): void {
  const place = byId("trouble");
  const text = error === null ? "" : error instanceof Error ? error.message : String(error);
  if (place.textContent !== text) place.textContent = text;
  place.hidden = !text;
}

try {
  new Page(await read<Operations>("operations"));
} catch (error) {
  followTheme(() => {});
  showTrouble(error);
}
