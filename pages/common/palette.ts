/** Colours that everybody can tell apart (Okabe and Ito, 2008), and a scale for numbers (viridis). */

export type Rgb = readonly [number, number, number];

/** For things side by side; black and yellow, which one of the two backgrounds swallows, are left out. */
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#6b6b6b"];
const DARK = ["#56b4e9", "#e69f00", "#2bc49a", "#e79ac4", "#f0e442", "#ff7f50", "#b4b4b4"];

/** Viridis, which rises evenly in lightness for all kinds of colour vision, without the end that a background swallows. */
const ON_DARK = ["#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const ON_LIGHT = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#a8d327"];

/** Whether the page is dark now. */
export function isDark(): boolean {
  const chosen = document.documentElement.dataset["theme"];
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The colour of the n-th of things side by side, as CSS. */
export function colourOf(index: number): string {
  const colours = isDark() ? DARK : LIGHT;
  return colours[index % colours.length]!;
}

/** A CSS colour `#rrggbb` as numbers from 0 to 1. */
export function rgb(css: string): Rgb {
  const value = Number.parseInt(css.slice(1), 16);
  return [(value >> 16) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}

function stops(): string[] {
  return isDark() ? ON_DARK : ON_LIGHT;
}

/** The scale's colour at a place from 0 to 1. */
export function scaleColour(place: number): Rgb {
  const colours = stops();
  const at = Math.min(Math.max(place, 0), 1) * (colours.length - 1);
  const low = Math.min(Math.floor(at), colours.length - 2);
  const [from, to] = [rgb(colours[low]!), rgb(colours[low + 1]!)];
  const mix = (i: 0 | 1 | 2): number => from[i] + (to[i] - from[i]) * (at - low);
  return [mix(0), mix(1), mix(2)];
}

/** The scale's colours, as the stops of a gradient. */
export function scaleStops(): readonly string[] {
  return stops();
}

