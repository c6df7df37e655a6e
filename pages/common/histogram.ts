/** A histogram of positive numbers on a logarithmic axis, as SVG. */

import { svg } from "./dom";
import { many } from "./format";

const BINS = 28;
const WIDTH = 280;
const HEIGHT = 84;
const FOOT = 16;

export interface Series {
  colour: string;
  values: ArrayLike<number>;
}

/**
 * @param title what is counted, for screen readers.
 * @param series numbers, those of each on top of the ones before.
 * @param shown a number as text, for the axis.
 */
export function histogram(title: string, series: Series[], shown: (value: number) => string): SVGElement {
  const [low, high] = extent(series);
  const frame = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "histogram", role: "img" };
  if (!(low > 0)) return svg("svg", { ...frame, "aria-label": `${title}: nothing to count yet` });
  const from = Math.log10(low);
  const span = Math.max(Math.log10(high) - from, 1e-9);
  const stacks = series.map(({ values }) => {
    const counts = new Array<number>(BINS).fill(0);
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value > 0) counts[Math.min(BINS - 1, Math.floor(((Math.log10(value) - from) / span) * BINS))]!++;
    }
    return counts;
  });
  const sums = Array.from({ length: BINS }, (_, bin) => stacks.reduce((sum, counts) => sum + counts[bin]!, 0));
  const most = Math.max(...sums);
  const total = sums.reduce((sum, count) => sum + count, 0);
  const label = `${title}: ${many(total, "node")} from ${shown(low)} to ${shown(high)}`;
  return svg("svg", { ...frame, "aria-label": label }, ...bars(series, stacks, most), ...axis(low, high, shown));
}

function bars(series: Series[], stacks: number[][], most: number): SVGElement[] {
  const width = WIDTH / BINS;
  const tops = new Array<number>(BINS).fill(HEIGHT - FOOT);
  return stacks.flatMap((counts, index) =>
    counts.flatMap((count, bin) => {
      if (!count) return [];
      const height = (count / most) * (HEIGHT - FOOT - 4);
      tops[bin]! -= height;
      const place = { x: bin * width + 0.5, y: tops[bin]!, width: width - 1, height, fill: series[index]!.colour };
      return [svg("rect", place)];
    }),
  );
}

function axis(low: number, high: number, shown: (value: number) => string): SVGElement[] {
  const y = HEIGHT - FOOT + 0.5;
  const text = { y: HEIGHT - 3, class: "axis" };
  return [
    svg("line", { x1: 0, x2: WIDTH, y1: y, y2: y, class: "axis" }),
    svg("text", { ...text, x: 0 }, shown(low)),
    svg("text", { ...text, x: WIDTH / 2, "text-anchor": "middle" }, shown(Math.sqrt(low * high))),
    svg("text", { ...text, x: WIDTH, "text-anchor": "end" }, shown(high)),
  ];
}

function extent(series: Series[]): [number, number] {
  let [low, high] = [Infinity, 0];
  for (const { values } of series) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value > 0 && value < low) low = value;
      if (value > high && Number.isFinite(value)) high = value;
    }
  }
  return high > 0 ? [low, high] : [0, 0];
}
