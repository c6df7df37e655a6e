/** A bar of what is done, failed and open. */

import { el } from "../common/dom";
import type { Status } from "./api";
import { percent, progressText } from "./words";

/** @param run whose chunks are shown. */
export function progressBar(run: Status): HTMLElement {
  const part = (name: string, chunks: number): HTMLElement => {
    const element = el("span", { class: `bar-${name}` });
    element.style.width = `${(100 * chunks) / Math.max(run.total_chunks, 1)}%`;
    return element;
  };
  const label = `${percent(run.completed_chunks, run.total_chunks)} done: ${progressText(run)}`;
  return el(
    "div",
    { class: "bar", role: "img", "aria-label": label },
    part("done", run.completed_chunks),
    part("failed", run.failed_chunks),
  );
}
