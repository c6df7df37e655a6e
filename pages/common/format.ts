/** Numbers as people read them: thin spaces between thousands, units that fit. */

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A whole number, with narrow spaces between thousands. */
export function whole(value: number): string {
  return plain.format(value).replaceAll(",", "\u202f");
}

/** A number with so many significant digits, at least those before the point. */
export function significant(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -4) return value.toExponential(digits - 1);
  const fraction = Math.max(0, digits - 1 - size);
  const text = new Intl.NumberFormat("en", { maximumFractionDigits: fraction, minimumFractionDigits: 0 });
  return text.format(value).replaceAll(",", "\u202f");
}

/** nm³ in µm³. */
export function volumeUm3(nm3: number): string {
  return `${significant(nm3 / 1e9)} µm³`;
}

/** nm² in µm². */
export function areaUm2(nm2: number): string {
  return `${significant(nm2 / 1e6)} µm²`;
}

/** nm in nm, or µm from 10 000 nm on. */
export function lengthNm(nm: number): string {
  return Math.abs(nm) < 10_000 ? `${whole(nm)} nm` : `${significant(nm / 1000)} µm`;
}

/** A time in the two largest units that it has. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const units: [number, string][] = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return `${significant(seconds, 2)} s`;
  const [size, unit] = units[first]!;
  const count = Math.floor(seconds / size);
  const next = units[first + 1];
  const rest = next ? Math.floor((seconds - count * size) / next[0]) : 0;
  return next && rest ? `${count} ${unit} ${rest} ${next[1]}` : `${count} ${unit}`;
}

/** One thing or several: `many(3, "node")` is `3 nodes`. */
export function many(count: number, word: string, plural = `${word}s`): string {
  return `${whole(count)} ${count === 1 ? word : plural}`;
}
