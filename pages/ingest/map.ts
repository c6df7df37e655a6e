/** The chunks of a run seen along x, y and z, drawn on canvases, with the same as text for a cell and as a table. */

import { el } from "../common/dom";
import { significant, whole } from "../common/format";
import { isDark, rgb, type Rgb } from "../common/palette";
import type { Axis, ChunkMap, Projection, Triple } from "./api";

const AXES: Axis[] = ["x", "y", "z"];
const LONGEST_PX = 360;
const SHORTEST_PX = 24;
const CELL_PX = 44;
const FRAME_PX = 3;
const LISTED = 200;

interface Colours {
  ground: string;
  open: string;
  done: string;
  failed: string;
  missing: string;
  cursor: string;
}

// Of Okabe and Ito: blue, vermilion and yellow differ in lightness too, and open cells are pale.
const LIGHT: Colours = {
  ground: "#ffffff", open: "#e3e7ea", done: "#0072b2", failed: "#d55e00", missing: "#f0c800", cursor: "#000000",
};
const DARK: Colours = {
  ground: "#161d24", open: "#303b45", done: "#56b4e9", failed: "#ff7f50", missing: "#f0e442", cursor: "#ffffff",
};

interface Cell {
  axis: Axis;
  column: number;
  row: number;
}

export class MapView {
  readonly element: HTMLElement;
  private readonly figures: HTMLElement;
  private readonly readout: HTMLElement;
  private readonly table: HTMLElement;
  private readonly legend: HTMLElement;
  private readonly views: Record<Axis, { canvas: HTMLCanvasElement; caption: HTMLElement }>;
  private map: ChunkMap | null = null;
  private cursor: Cell | null = null;
  private marked: Triple | null = null;

  constructor() {
    this.views = { x: this.view("x"), y: this.view("y"), z: this.view("z") };
    this.legend = el("ul", { class: "legend" });
    const [z, y, x] = (["z", "y", "x"] as Axis[]).map((axis) => this.figure(axis));
    this.figures = el("div", { class: "maps" }, z, el("div", { class: "maps-beside" }, y, x));
    this.readout = el("p", { class: "readout soft", "aria-live": "polite" });
    this.table = el("div", { class: "cells" });
    const details = el("details", { class: "as-table" }, el("summary", {}, "The same as a table"), this.table);
    this.element = el("div", {}, this.legend, this.figures, this.readout, details);
    this.say();
  }

  /** Shows a map; the place that was looked at stays. */
  show(map: ChunkMap): void {
    const isOther = this.map?.run_id !== map.run_id;
    this.map = map;
    if (isOther) [this.cursor, this.marked] = [null, null];
    this.draw();
  }

  /** Marks a chunk in all projections. */
  mark(chunk: Triple | null): void {
    this.marked = chunk;
    this.draw();
  }

  /** Draws everything anew: for other colours, too. */
  draw(): void {
    const map = this.map;
    if (!map) return;
    const extent = sizes(map);
    for (const axis of AXES) this.drawAlong(axis, map, extent);
    this.drawLegend(map);
    this.table.replaceChildren(cellTable(map));
    this.say();
  }

  private view(axis: Axis): { canvas: HTMLCanvasElement; caption: HTMLElement } {
    const canvas = el("canvas", {
      tabindex: 0,
      role: "img",
      keydown: (event: KeyboardEvent) => this.onKey(axis, event),
      pointermove: (event: PointerEvent) => this.onPointer(axis, event),
      pointerleave: () => this.moveTo(null),
      blur: () => this.moveTo(null),
    });
    return { canvas, caption: el("figcaption", { class: "soft" }) };
  }

  private figure(axis: Axis): HTMLElement {
    const { canvas, caption } = this.views[axis];
    return el("figure", { class: "map" }, el("div", { class: "map-frame" }, canvas), caption);
  }

  private drawAlong(axis: Axis, map: ChunkMap, extent: Triple): void {
    const scale = Math.min(LONGEST_PX, this.element.clientWidth - 2 * FRAME_PX) / Math.max(...extent);
    const { canvas, caption } = this.views[axis];
    const seen = map.along[axis];
    const [width, height] = [place(seen.columns), place(seen.rows)].map((at) => extent[at]! * scale) as [number, number];
    const shown = [width, height].map((px, i) => Math.max(px, Math.min(SHORTEST_PX, CELL_PX * counts(seen)[i]!)));
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    [canvas.width, canvas.height] = [Math.round(shown[0]! * ratio), Math.round(shown[1]! * ratio)];
    [canvas.style.width, canvas.style.height] = [`${shown[0]}px`, `${shown[1]}px`];
    paint(canvas, seen, map, { cursor: this.cursor?.axis === axis ? this.cursor : null, marked: this.marked });
    const sum = (rows: number[][]): number => rows.flat().reduce((total, count) => total + count, 0);
    const missing = sum(seen.missing);
    canvas.setAttribute(
      "aria-label",
      `Along ${axis}: ${whole(sum(seen.done))} chunks done, ${whole(sum(seen.failed))} failed, ` +
        `${whole(sum(seen.open))} open${missing ? `, ${significant(missing)} rows missing` : ""}. Arrow keys tell cells.`,
    );
    caption.textContent = `along ${axis} (${seen.columns} → right, ${seen.rows} ↓ down)`;
  }

  private drawLegend(map: ChunkMap): void {
    const hasMissing = map.along.z.missing.some((row) => row.some((count) => count > 0));
    const entries = [
      ["done", "done"],
      ["failed", "failed"],
      ["open", "open"],
      ...(hasMissing ? [["missing", "rows missing, by the audit"]] : []),
    ] as [keyof Colours, string][];
    const [x, y, z] = map.cell_chunks;
    const cell = x * y * z === 1 ? "a cell is a chunk" : `a cell is ${x} × ${y} × ${z} chunks`;
    this.legend.replaceChildren(
      ...entries.map(([name, text]) => el("li", {}, el("span", { class: `swatch swatch-${name}` }), text)),
      el("li", { class: "soft" }, cell),
    );
  }

  private onPointer(axis: Axis, event: PointerEvent): void {
    if (!this.map) return;
    const canvas = this.views[axis].canvas;
    const [columns, rows] = counts(this.map.along[axis]);
    const box = canvas.getBoundingClientRect();
    const column = clamp(Math.floor(((event.clientX - box.left) / box.width) * columns), columns);
    const row = clamp(Math.floor(((event.clientY - box.top) / box.height) * rows), rows);
    this.moveTo({ axis, column, row });
  }

  private onKey(axis: Axis, event: KeyboardEvent): void {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!this.map || !step) return;
    event.preventDefault();
    const [columns, rows] = counts(this.map.along[axis]);
    const from = this.cursor?.axis === axis ? this.cursor : { column: -step[0]!, row: -step[1]! };
    this.moveTo({ axis, column: clamp(from.column + step[0]!, columns), row: clamp(from.row + step[1]!, rows) });
  }

  private moveTo(cell: Cell | null): void {
    const isSame = JSON.stringify(cell) === JSON.stringify(this.cursor);
    if (isSame || !this.map) return;
    const earlier = this.cursor;
    this.cursor = cell;
    for (const axis of new Set([earlier?.axis, cell?.axis])) {
      if (axis) this.drawAlong(axis, this.map, sizes(this.map));
    }
    this.say();
  }

  private say(): void {
    const text = this.map && this.cursor ? cellText(this.map, this.cursor) : "Point at a cell, or move by arrow keys.";
    if (this.readout.textContent !== text) this.readout.textContent = text;
  }
}

function place(axis: Axis): 0 | 1 | 2 {
  return AXES.indexOf(axis) as 0 | 1 | 2;
}

function clamp(value: number, count: number): number {
  return Math.min(Math.max(value, 0), count - 1);
}

function sizes(map: ChunkMap): Triple {
  return map.chunks.stop.map((stop, i) => stop - map.chunks.start[i]!) as Triple;
}

/** Columns and rows of a projection. */
function counts(seen: Projection): [number, number] {
  return [seen.done[0]?.length ?? 0, seen.done.length];
}

/** The chunks of a cell along an axis: first and last. */
function span(map: ChunkMap, axis: Axis, cell: number): string {
  const at = place(axis);
  const first = map.chunks.start[at] + cell * map.cell_chunks[at];
  const last = Math.min(first + map.cell_chunks[at], map.chunks.stop[at]) - 1;
  return first === last ? `${axis} ${first}` : `${axis} ${first}–${last}`;
}

function cellText(map: ChunkMap, { axis, column, row }: Cell): string {
  const seen = map.along[axis];
  const [done, failed, open] = [seen.done, seen.failed, seen.open].map((rows) => rows[row]?.[column] ?? 0) as Triple;
  const missing = seen.missing[row]?.[column] ?? 0;
  const parts = [`${whole(done)} of ${whole(done + failed + open)} chunks done`];
  if (failed) parts.push(`${whole(failed)} failed`);
  if (open) parts.push(`${whole(open)} open`);
  if (missing) parts.push(`about ${significant(missing)} rows missing`);
  return `${span(map, seen.columns, column)}, ${span(map, seen.rows, row)}: ${parts.join(", ")}`;
}

/** Cells along z in which not everything is done, those with failures first. */
function cellTable(map: ChunkMap): HTMLElement {
  const seen = map.along.z;
  const cells = seen.done.flatMap((columns, row) =>
    columns.map((done, column) => ({
      column, row, done,
      failed: seen.failed[row]![column]!, open: seen.open[row]![column]!, missing: seen.missing[row]![column]!,
    })),
  );
  const wanting = cells.filter((cell) => cell.failed || cell.open || cell.missing);
  if (!wanting.length) return el("p", { class: "soft" }, "Everything is done in every cell.");
  wanting.sort((a, b) => b.failed - a.failed || b.missing - a.missing || b.open - a.open);
  const heads = ["Chunks along z", "done", "failed", "open", "rows missing"];
  const rows = wanting.slice(0, LISTED).map((cell) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, `${span(map, "x", cell.column)}, ${span(map, "y", cell.row)}`),
      ...[whole(cell.done), whole(cell.failed), whole(cell.open), significant(cell.missing)].map((text) =>
        el("td", { class: "number" }, text),
      ),
    ),
  );
  const more = wanting.length - rows.length;
  return el(
    "div",
    {},
    el(
      "table",
      { class: "plain" },
      el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i ? "number" : "" }, head)))),
      el("tbody", {}, ...rows),
    ),
    more > 0 && el("p", { class: "soft" }, `and ${whole(more)} more cells in which something is left`),
  );
}

function paint(
  canvas: HTMLCanvasElement,
  seen: Projection,
  map: ChunkMap,
  at: { cursor: Cell | null; marked: Triple | null },
): void {
  const context = canvas.getContext("2d")!;
  const colours = isDark() ? DARK : LIGHT;
  const [columns, rows] = counts(seen);
  const border = (index: number, count: number, px: number): number => Math.round((index * px) / count);
  const gap = Math.min(canvas.width / columns, canvas.height / rows) >= 10 ? 1 : 0;
  context.fillStyle = colours.ground;
  context.fillRect(0, 0, canvas.width, canvas.height);
  const box = (column: number, row: number): [number, number, number, number] => {
    const [x, y] = [border(column, columns, canvas.width), border(row, rows, canvas.height)];
    return [x, y, border(column + 1, columns, canvas.width) - x - gap, border(row + 1, rows, canvas.height) - y - gap];
  };
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [x, y, width, height] = box(column, row);
      context.fillStyle = fill(seen, row, column, colours);
      context.fillRect(x, y, Math.max(1, width), Math.max(1, height));
      if ((seen.failed[row]![column] ?? 0) > 0 && Math.min(width, height) >= 9) cross(context, x, y, width, height, colours);
    }
  }
  context.strokeStyle = colours.cursor;
  context.lineWidth = 2;
  if (at.cursor) outline(context, box(at.cursor.column, at.cursor.row));
  if (at.marked) {
    const cell = at.marked.map((c, i) => Math.floor((c - map.chunks.start[i]!) / map.cell_chunks[i]!)) as Triple;
    outline(context, box(cell[place(seen.columns)], cell[place(seen.rows)]));
  }
}

function outline(context: CanvasRenderingContext2D, [x, y, width, height]: [number, number, number, number]): void {
  context.strokeRect(x - 1, y - 1, Math.max(4, width + 2), Math.max(4, height + 2));
}

/** A failed cell has a cross, so that it is told apart without its colour. */
function cross(
  context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, colours: Colours,
): void {
  const [inset, size] = [Math.min(width, height) * 0.3, Math.min(width, height) * 0.4];
  const [left, top] = [x + (width - size) / 2, y + (height - size) / 2];
  context.strokeStyle = colours.ground;
  context.lineWidth = Math.max(1.5, inset / 3);
  context.beginPath();
  context.moveTo(left, top);
  context.lineTo(left + size, top + size);
  context.moveTo(left + size, top);
  context.lineTo(left, top + size);
  context.stroke();
}

/** What failed is seen however little it is; what is missing too; else how much is done. */
function fill(seen: Projection, row: number, column: number, colours: Colours): string {
  const [done, failed, open] = [seen.done, seen.failed, seen.open].map((rows) => rows[row]![column]!) as Triple;
  if (failed) return colours.failed;
  if (seen.missing[row]![column]!) return colours.missing;
  const all = done + open;
  return css(mixed(rgb(colours.open), rgb(colours.done), all ? done / all : 0));
}

function mixed(from: Rgb, to: Rgb, share: number): Rgb {
  // what is begun is seen to be
  const at = share ? 0.15 + 0.85 * share : 0;
  return [0, 1, 2].map((i) => from[i]! + (to[i]! - from[i]!) * at) as unknown as Rgb;
}

function css(colour: Rgb): string {
  return `rgb(${colour.map((part) => Math.round(part * 255)).join(" ")})`;
}
