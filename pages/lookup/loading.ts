/** Loading what was asked for: totals, the nodes of roots, their rows, and those that are being computed meanwhile. */

import { RequestError } from "../common/request";
import { isL2 } from "./ids";
import { Nodes } from "./nodes";
import * as service from "./service";
import type { Failure, Total } from "./service";

/** A root with its nodes, or L2 ids that were asked for by themselves. */
export interface Group {
  /** The root; null for L2 ids. */
  root: bigint | null;
  count: number;
  total: Total | null;
  error: string | null;
  failures: Failure[];
}

const BATCH = 20_000;
const WAITED_BATCH = 1_000;
const WAIT_S = 3;
const PATIENCE_MS = 15 * 60_000;
const MOST_REASONS = 1_000;

export class Loading {
  groups: Group[] = [];
  nodes: Nodes = Nodes.none;
  /** Whether nodes are being computed that the page waits for. */
  isWaiting = false;
  private readonly stop = new AbortController();

  /**
   * @param dataset where to look.
   * @param ids roots and L2 ids.
   * @param changed called whenever there is more to show.
   */
  constructor(
    readonly dataset: string,
    private readonly ids: readonly bigint[],
    private readonly changed: () => void,
  ) {}

  /** Ends it; nothing changes any more. */
  abandon(): void {
    this.stop.abort();
  }

  get isAbandoned(): boolean {
    return this.stop.signal.aborted;
  }

  private get roots(): bigint[] {
    return this.ids.filter((id) => !isL2(id));
  }

  /** Loads all of it; ends when nothing is being computed any more.
   *
   * @throws RequestError if the function refuses or cannot be reached.
   */
  async run(): Promise<void> {
    const roots = this.roots;
    const signal = this.stop.signal;
    const nothing = Promise.resolve({});
    const asked = roots.length ? service.l2IdsOf(this.dataset, roots, signal) : nothing;
    const [found, totals] = await Promise.all([
      asked as ReturnType<typeof service.l2IdsOf>,
      (roots.length ? service.totals(this.dataset, roots, true, signal) : nothing) as ReturnType<typeof service.totals>,
    ]);
    const groups: { group: Group; ids: bigint[] }[] = roots.map((root) => {
      const { l2_ids, error } = found[String(root)] ?? { l2_ids: null, error: null };
      const ids = (l2_ids ?? []).map(BigInt);
      return { group: { root, count: ids.length, total: totals[String(root)] ?? null, error, failures: [] }, ids };
    });
    const loose = this.ids.filter(isL2).sort((a, b) => (a < b ? -1 : 1));
    if (loose.length) {
      groups.push({ group: { root: null, count: loose.length, total: null, error: null, failures: [] }, ids: loose });
    }
    this.groups = groups.map(({ group }) => group);
    this.nodes = new Nodes(
      BigUint64Array.from(groups.flatMap(({ ids }) => ids)),
      Uint16Array.from(groups.flatMap(({ ids }, owner) => ids.map(() => owner))),
    );
    this.changed();
    await this.loadRows();
    await this.loadReasons();
    await this.waitForMissing();
  }

  private async loadRows(): Promise<void> {
    let first = 0;
    for (const { count } of this.groups) {
      for (let start = first; start < first + count; start += BATCH) {
        const end = Math.min(start + BATCH, first + count);
        await this.read(Array.from({ length: end - start }, (_, i) => start + i), 0);
      }
      first += count;
    }
  }

  /** Reads the rows of nodes, which ascend; returns how many are there now that were not. */
  private async read(rows: number[], waitS: number): Promise<number> {
    const ids = BigUint64Array.from(rows, (row) => this.nodes.ids[row]!);
    const stream = await patiently(() => service.attributes(this.dataset, ids, waitS, this.stop.signal), this.stop.signal);
    const arrived = this.nodes.take(stream, rows);
    this.changed();
    return arrived;
  }

  private async waitForMissing(): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    let pauseMs = 0;
    while (!this.isAbandoned && performance.now() < end) {
      const rows = this.distinctRows(this.nodes.rowsIn("pending", "missing"));
      if (!rows.length) break;
      this.isWaiting = true;
      this.changed();
      await sleep(pauseMs, this.stop.signal);
      const started = performance.now();
      const arrived = await this.read(rows.slice(0, WAITED_BATCH), WAIT_S);
      if (arrived) await this.renewTotals();
      // what is withheld is answered at once: no use in asking again at once
      pauseMs = arrived || performance.now() - started > 1000 ? 0 : Math.min(2 * pauseMs + 500, 10_000);
    }
    this.isWaiting = false;
    await this.loadReasons();
    this.changed();
  }

  /** Rows of one group, ascending and with distinct ids, as a request answers them. */
  private distinctRows(rows: number[]): number[] {
    const owner = this.nodes.owners[rows[0] ?? 0];
    return rows.filter((row) => this.nodes.owners[row] === owner);
  }

  private async renewTotals(): Promise<void> {
    const lacking = this.groups.filter(({ total }) => total && !total.complete).map(({ root }) => root!);
    if (!lacking.length) return;
    const found = await patiently(() => service.totals(this.dataset, lacking, false, this.stop.signal), this.stop.signal);
    for (const group of this.groups) group.total = found[String(group.root)] ?? group.total;
    this.changed();
  }

  private async loadReasons(): Promise<void> {
    const rows = this.nodes.rowsIn("failed").slice(0, MOST_REASONS);
    if (!rows.length || this.isAbandoned) return;
    const ids = BigUint64Array.from(rows, (row) => this.nodes.ids[row]!);
    const found = await service.failures(this.dataset, ids, this.stop.signal);
    const owners = new Map(rows.map((row) => [String(this.nodes.ids[row]), this.nodes.owners[row]!]));
    this.groups.forEach((group, owner) => (group.failures = found.filter(({ id }) => owners.get(id) === owner)));
    this.changed();
  }
}

/** What a request gives, made again when the function says after what time it may be. */
async function patiently<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      const retry = error instanceof RequestError && [429, 503].includes(error.status) ? error.retryAfterS : null;
      if (retry === null || attempt === 5) throw error;
      await sleep(1000 * Math.max(1, retry), signal);
    }
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
