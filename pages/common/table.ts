/** A table of any number of rows, of which only those in sight are in the document.
 *
 * Rows are numbers from 0 on; columns say what stands in them. Sorting is by a column's values, which are numbers, texts
 * or 64-bit integers. By keyboard: arrows, Page Up and Down, Home and End move, Enter chooses.
 */

import { el } from "./dom";

export interface Column {
  /** What the column is called in the address and in `sortBy`. */
  key: string;
  title: string;
  /** Width as CSS grid has it. */
  width: string;
  isNumber?: boolean;
  /** The value to sort by. */
  value(row: number): number | bigint | string;
  /** The text, or an element, that is shown. */
  shown(row: number): string | Node;
}

const ROW_PX = 28;
const SPARE_ROWS = 8;

export class VirtualTable {
  readonly element: HTMLElement;
  private readonly head: HTMLElement;
  private readonly body: HTMLElement;
  private readonly drawn = new Map<number, HTMLElement>();
  private order: Uint32Array = new Uint32Array(0);
  private places: Uint32Array = new Uint32Array(0);
  private current = -1;
  private isDrawing = false;
  sortKey = "";
  isDescending = false;

  /**
   * @param label what the table is, for screen readers.
   * @param columns of the table.
   * @param chosen called with the row that is chosen by click or key.
   * @param sorted called when the reader sorts.
   */
  constructor(
    label: string,
    private readonly columns: Column[],
    private readonly chosen: (row: number) => void,
    private readonly sorted: () => void = () => {},
  ) {
    const template = columns.map((column) => column.width).join(" ");
    this.head = el("div", { role: "row", class: "table-head" });
    this.body = el("div", { class: "table-body", role: "rowgroup" });
    this.element = el(
      "div",
      { class: "table", role: "grid", "aria-label": label, tabindex: 0 },
      el("div", { role: "rowgroup", class: "table-heads" }, this.head),
      this.body,
    );
    this.element.style.setProperty("--columns", template);
    this.drawHead();
    this.element.addEventListener("scroll", () => this.draw());
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** Shows so many rows, which may have changed. */
  setRows(count: number): void {
    this.order = Uint32Array.from({ length: count }, (_, row) => row);
    if (this.current >= count) this.current = -1;
    this.sort();
  }

  /** Sorts by a column. */
  sortBy(key: string, isDescending: boolean): void {
    this.sortKey = this.columns.some((column) => column.key === key) ? key : "";
    this.isDescending = isDescending;
    this.sort();
  }

  /** Marks a row and brings it into sight. */
  select(row: number): void {
    this.current = row;
    this.redraw();
    const place = this.places[row];
    if (row < 0 || place === undefined) return;
    const top = place * ROW_PX;
    const seen = this.element.clientHeight - ROW_PX;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + ROW_PX > this.element.scrollTop + seen) this.element.scrollTop = top + ROW_PX - seen;
    this.draw();
  }

  /** Draws the rows in sight anew, their contents having changed. */
  redraw(): void {
    for (const row of this.drawn.values()) row.remove();
    this.drawn.clear();
    this.draw();
  }

  private sort(): void {
    const column = this.columns.find((one) => one.key === this.sortKey);
    if (column) {
      const values = Array.from(this.order.keys(), (row) => column.value(row));
      const sign = this.isDescending ? -1 : 1;
      this.order = this.order.map((_, index) => index).sort((a, b) => sign * compare(values[a]!, values[b]!) || a - b);
    } else this.order = this.order.map((_, index) => index);
    this.places = new Uint32Array(this.order.length);
    this.order.forEach((row, place) => (this.places[row] = place));
    this.element.setAttribute("aria-rowcount", String(this.order.length + 1));
    this.body.style.height = `${this.order.length * ROW_PX}px`;
    this.drawHead();
    this.redraw();
  }

  private drawHead(): void {
    this.head.replaceChildren(
      ...this.columns.map((column) => {
        const isSorted = column.key === this.sortKey;
        const state = isSorted ? (this.isDescending ? "descending" : "ascending") : "none";
        const mark = isSorted ? (this.isDescending ? " ↓" : " ↑") : "";
        const click = (): void => {
          this.sortBy(column.key, isSorted ? !this.isDescending : Boolean(column.isNumber));
          this.head.querySelector<HTMLElement>(`[data-key="${column.key}"]`)?.focus();
          this.sorted();
        };
        const button = el("button", { type: "button", "data-key": column.key, click }, column.title + mark);
        const kind = column.isNumber ? "number" : "";
        return el("div", { role: "columnheader", "aria-sort": state, class: kind }, button);
      }),
    );
  }

  private draw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.drawNow();
    });
  }

  private drawNow(): void {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - SPARE_ROWS);
    const seen = Math.ceil(this.element.clientHeight / ROW_PX) + 2 * SPARE_ROWS;
    const last = Math.min(this.order.length, first + seen);
    for (const [place, row] of this.drawn) {
      if (place < first || place >= last) {
        row.remove();
        this.drawn.delete(place);
      }
    }
    for (let place = first; place < last; place++) {
      if (!this.drawn.has(place)) {
        const row = this.drawRow(place);
        this.drawn.set(place, row);
        this.body.append(row);
      }
    }
    const id = this.drawn.get(this.places[this.current] ?? -1)?.id;
    if (id) this.element.setAttribute("aria-activedescendant", id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  private drawRow(place: number): HTMLElement {
    const row = this.order[place]!;
    const cells = this.columns.map((column) =>
      el("div", { role: "gridcell", class: column.isNumber ? "number" : "" }, column.shown(row)),
    );
    const isCurrent = row === this.current;
    const properties = {
      role: "row",
      id: `row-${row}`,
      class: "table-row",
      "aria-rowindex": place + 2,
      "aria-selected": isCurrent ? "true" : "false",
      click: () => this.choose(row),
    };
    const element = el("div", properties, ...cells);
    element.style.transform = `translateY(${place * ROW_PX}px)`;
    return element;
  }

  private choose(row: number): void {
    this.select(row);
    this.chosen(row);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target !== this.element || !this.order.length) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_PX) - 2);
    const place = this.places[this.current] ?? -1;
    const moves: Record<string, number> = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      PageDown: place + page,
      PageUp: place - page,
      Home: 0,
      End: this.order.length - 1,
      Enter: Math.max(place, 0),
    };
    const wanted = moves[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    this.choose(this.order[Math.min(Math.max(wanted, 0), this.order.length - 1)]!);
  }
}

function compare(a: number | bigint | string, b: number | bigint | string): number {
  if (typeof a === "number" && typeof b === "number") {
    // what has no value goes to the end of ascending order
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return a - b;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}
