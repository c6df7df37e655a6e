/** The nodes on the page, a column for each of their values, and reading them from Arrow. */

import { CompressionType, setCompressionCodec, tableFromIPC } from "@uwdata/flechette";
import { decompress } from "fzstd";

// Browsers say that they accept zstd; the buffers inside a stream are then compressed so. A copy begins at a whole word.
setCompressionCodec(CompressionType.ZSTD, { encode: (data) => data, decode: (data) => decompress(data).slice() });

/** How a node stands, by its number in `Nodes.states`; the first is what is not known yet. */
export const STATES = ["asked", "cached", "empty", "pending", "missing", "failed", "unknown", "impossible"] as const;
export type State = (typeof STATES)[number];

/** What is said of states, and how. */
export const SAID: Record<State, { word: string; look: string }> = {
  asked: { word: "asked for", look: "soft" },
  cached: { word: "cached", look: "good" },
  empty: { word: "empty", look: "soft" },
  pending: { word: "being computed", look: "busy" },
  missing: { word: "missing", look: "warn" },
  failed: { word: "failed", look: "bad" },
  unknown: { word: "unknown to the graph", look: "bad" },
  impossible: { word: "impossible", look: "bad" },
};

/** The numbers of a node, by their columns in Arrow. */
export const MEASURES = ["size_nm3", "area_nm2", "max_dt_nm", "mean_dt_nm"] as const;
export type Measure = (typeof MEASURES)[number];
const POINT = ["rep_coord_nm_x", "rep_coord_nm_y", "rep_coord_nm_z"];
const AXES = [0, 1, 2].flatMap((axis) => ["x", "y", "z"].map((side) => `pca_${axis}_${side}`));
const SPREADS = [0, 1, 2].map((axis) => `pca_val_${axis}`);

/** What the page asks for of each node. */
export const ATTRIBUTES = "size_nm3,area_nm2,max_dt_nm,mean_dt_nm,rep_coord_nm,pca,pca_val";

export class Nodes {
  readonly states: Uint8Array;
  readonly measures: Record<Measure, Float64Array>;
  /** Three numbers of each node, as in the following; nan where there are none. */
  readonly pointsNm: Float64Array;
  readonly axes: Float32Array;
  readonly spreadsNm: Float32Array;

  /**
   * @param ids of the nodes.
   * @param owners number of the group that each belongs to.
   */
  constructor(
    readonly ids: BigUint64Array,
    readonly owners: Uint16Array,
  ) {
    const count = ids.length;
    const empty = (width: number): Float64Array => new Float64Array(count * width).fill(NaN);
    this.states = new Uint8Array(count);
    this.measures = Object.fromEntries(MEASURES.map((name) => [name, empty(1)])) as Record<Measure, Float64Array>;
    this.pointsNm = empty(3);
    this.axes = new Float32Array(count * 9).fill(NaN);
    this.spreadsNm = new Float32Array(count * 3).fill(NaN);
  }

  static readonly none = new Nodes(new BigUint64Array(0), new Uint16Array(0));

  get count(): number {
    return this.ids.length;
  }

  state(row: number): State {
    return STATES[this.states[row]!]!;
  }

  /** The rows that are in one of some states. */
  rowsIn(...states: State[]): number[] {
    const numbers = new Set(states.map((state) => STATES.indexOf(state)));
    const rows: number[] = [];
    this.states.forEach((state, row) => numbers.has(state) && rows.push(row));
    return rows;
  }

  /** How many nodes of a group, or of all, are in each state. */
  counts(owner: number | null = null): Record<State, number> {
    const counts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
    for (let row = 0; row < this.count; row++) {
      if (owner === null || this.owners[row] === owner) counts[this.state(row)]++;
    }
    return counts;
  }

  /** Takes over what a stream of Arrow says of nodes; returns how many got a row that they had not.
   *
   * @param rows where the nodes are whose ids, distinct and ascending, were asked for.
   */
  take(stream: ArrayBuffer, rows: ArrayLike<number>): number {
    const table = tableFromIPC(stream, { useBigInt: true });
    const column = (name: string): ArrayLike<unknown> => table.getChild(name)?.toArray() as ArrayLike<unknown>;
    const [ids, states] = [column("l2_id"), column("state")];
    if (ids.length !== rows.length || ids[0] !== this.ids[rows[0]!]) throw new Error("the answer is of other nodes");
    let arrived = 0;
    for (let i = 0; i < rows.length; i++) {
      const state = STATES.indexOf(states[i] as State);
      const before = this.state(rows[i]!);
      if (STATES[state] === "cached" || STATES[state] === "empty") arrived += Number(before !== "cached" && before !== "empty");
      this.states[rows[i]!] = state;
    }
    for (const name of MEASURES) copy(column(name), this.measures[name], rows, 1, 0);
    POINT.forEach((name, place) => copy(column(name), this.pointsNm, rows, 3, place));
    AXES.forEach((name, place) => copy(column(name), this.axes, rows, 9, place));
    SPREADS.forEach((name, place) => copy(column(name), this.spreadsNm, rows, 3, place));
    return arrived;
  }
}

function copy(
  values: ArrayLike<unknown>,
  into: Float64Array | Float32Array,
  rows: ArrayLike<number>,
  width: number,
  place: number,
): void {
  for (let i = 0; i < rows.length; i++) {
    const value = values[i];
    into[rows[i]! * width + place] = value === null || value === undefined ? NaN : Number(value);
  }
}
