/** The rate over time, as SVG. */

import { svg } from "../common/dom";
import { duration, significant } from "../common/format";
import type { Pace } from "./api";

const HEIGHT = 150;
const LEFT = 44;
const FOOT = 20;
const TOP = 8;

/**
 * @param pace chunks per second in steps of time.
 * @param width of the drawing, in CSS pixels.
 */
export function rateChart(pace: Pace, width: number): SVGElement {
  const rates = pace.chunks_per_s;
  const most = niceCeiling(Math.max(...rates, 0));
  const spanS = pace.step_s * rates.length;
  const x = (step: number): number => LEFT + (step / rates.length) * (width - LEFT);
  const y = (rate: number): number => HEIGHT - FOOT - (rate / most) * (HEIGHT - FOOT - TOP);
  const corners = rates.flatMap((rate, step) => [`${x(step)},${y(rate)}`, `${x(step + 1)},${y(rate)}`]);
  const outline = corners.join(" ");
  const label =
    `Chunks per second over ${duration(spanS)} from ${pace.start} UTC: ` +
    `${significant(Math.max(...rates, 0))} at most, ${significant(rates.at(-1) ?? 0)} at the end`;
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, class: "chart", role: "img", "aria-label": label },
    ...[0, most / 2, most].flatMap((rate) => [
      svg("line", { x1: LEFT, x2: width, y1: y(rate), y2: y(rate), class: "grid" }),
      svg("text", { x: LEFT - 6, y: y(rate) + 4, "text-anchor": "end" }, significant(rate)),
    ]),
    svg("polygon", { points: `${x(0)},${y(0)} ${outline} ${x(rates.length)},${y(0)}`, class: "area" }),
    svg("polyline", { points: outline, class: "line" }),
    svg("text", { x: LEFT, y: HEIGHT - 4 }, "0"),
    svg("text", { x: (LEFT + width) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, duration(spanS / 2)),
    svg("text", { x: width, y: HEIGHT - 4, "text-anchor": "end" }, duration(spanS)),
  );
}

/** The next number of 1, 2 or 5 times a power of ten. */
function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= value * 0.999) ?? 10 * power;
}
