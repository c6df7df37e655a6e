/** The failed chunks of a run: why, and where. */

import { el } from "../common/dom";
import { many } from "../common/format";
import { VirtualTable } from "../common/table";
import { read, type FailedPage, type Triple } from "./api";

const PAGE = 500;
const REASONS = 5;

export class FailureList {
  readonly element: HTMLElement;
  private readonly table: VirtualTable;
  private readonly reasons: HTMLElement;
  private readonly more: HTMLButtonElement;
  private found: FailedPage["failed"] = [];
  private about: { dataset: string; run: string } | null = null;
  private next = "";

  /**
   * @param chosen called with the chunk of the row that is chosen.
   * @param failed told of what went wrong.
   */
  constructor(
    chosen: (chunk: Triple) => void,
    private readonly failed: (error: unknown) => void,
  ) {
    const coordinate = (axis: 0 | 1 | 2): ((row: number) => number) => (row) => this.found[row]!.chunk[axis];
    const columns = (["x", "y", "z"] as const).map((key, axis) => ({
      key,
      title: key,
      width: "4.5rem",
      isNumber: true,
      value: coordinate(axis as 0 | 1 | 2),
      shown: (row: number) => String(coordinate(axis as 0 | 1 | 2)(row)),
    }));
    const reason = (row: number): string => this.found[row]!.reason;
    const why = (row: number): Node => el("span", { title: reason(row) }, reason(row));
    this.table = new VirtualTable(
      "Failed chunks",
      [...columns, { key: "reason", title: "Reason", width: "minmax(16rem, 1fr)", value: reason, shown: why }],
      (row) => chosen(this.found[row]!.chunk),
    );
    this.reasons = el("ul", { class: "reasons" });
    this.more = el("button", { type: "button", click: () => void this.load() }, "Show more");
    this.element = el("div", {}, this.reasons, el("div", { class: "failures" }, this.table.element), this.more);
  }

  /** Shows the failed chunks of a run from the first on. */
  async show(dataset: string, run: string, signal: AbortSignal): Promise<void> {
    this.about = { dataset, run };
    const page = await read<FailedPage>("failed", { dataset, run, limit: PAGE }, signal);
    this.put(page.failed, page.next);
  }

  private async load(): Promise<void> {
    if (!this.about) return;
    const asked = this.about;
    this.more.disabled = true;
    try {
      const page = await read<FailedPage>("failed", { ...asked, limit: PAGE, after: this.next });
      if (asked === this.about) this.put([...this.found, ...page.failed], page.next);
    } catch (error) {
      this.failed(error);
    } finally {
      this.more.disabled = false;
    }
  }

  private put(found: FailedPage["failed"], next: string): void {
    const isSame = JSON.stringify([found, next]) === JSON.stringify([this.found, this.next]);
    [this.found, this.next] = [found, next];
    this.more.hidden = !next;
    if (isSame) return;
    this.table.setRows(found.length);
    const counts = new Map<string, number>();
    for (const one of found) counts.set(one.reason, (counts.get(one.reason) ?? 0) + 1);
    const frequent = [...counts].sort((a, b) => b[1] - a[1]).slice(0, REASONS);
    this.reasons.replaceChildren(...frequent.map(([text, count]) => el("li", {}, el("b", {}, many(count, "chunk")), ` ${text}`)));
  }
}
