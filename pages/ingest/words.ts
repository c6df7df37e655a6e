/** How runs are called and what their states are in words and colours. */

import { significant, whole } from "../common/format";
import type { Status } from "./api";

export type Shade = "good" | "busy" | "warn" | "bad" | "soft";

/** What kind of run it is. */
export function kindOf(run: { kind?: string; run_id: string }): string {
  const kind = run.kind ?? "ingest";
  return kind[0]!.toUpperCase() + kind.slice(1);
}

/** The state in a word or two, and its colour. */
export function stateOf(run: Status): [string, Shade] {
  if (run.state === "running") return run.chunks_per_s ? ["running", "busy"] : ["waiting for chunks", "busy"];
  if (run.state === "cancelled") return ["cancelled", "warn"];
  return run.failed_chunks ? ["finished, with failures", "bad"] : ["finished", "good"];
}

/** A share in percent that is 100 only of all. */
export function percent(part: number, all: number): string {
  const share = (100 * part) / Math.max(all, 1);
  return `${share > 99 && part < all ? Math.floor(share * 10) / 10 : significant(share, share < 10 ? 2 : 3)} %`;
}

/** How many of the chunks are closed. */
export function progressText(run: Status): string {
  const failed = run.failed_chunks ? `, ${whole(run.failed_chunks)} failed` : "";
  return `${whole(run.completed_chunks)} of ${whole(run.total_chunks)} chunks${failed}`;
}

/** A moment, UTC. */
export function moment(text: string): string {
  return `${text.replace(/:00$/, "")} UTC`;
}

/** US dollars. */
export function dollars(value: number): string {
  return `US$ ${new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value)}`;
}

/** Bytes in the unit that fits them. */
export function bytes(count: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${significant(value)} ${units[unit]}`;
}
