/** What the ingest function answers, and asking it. Reading is by GET; what changes anything names itself in a header. */

import { posting, requestJson } from "../common/request";

/** Tells the function that its own page is asking: a page of another site cannot send it. */
const OWN_PAGE = { "X-L2Cache-Request": "page" };

export type Value = string | number | boolean | number[][];
export type Values = Record<string, Value>;
export type Triple = [number, number, number];
export type Axis = "x" | "y" | "z";

export interface Field {
  name: string;
  kind: "text" | "whole" | "flag" | "choice" | "moment" | "box";
  help: string;
  required?: boolean;
  default?: Value;
  least?: number;
  most?: number;
  choices?: string[];
}

export interface Operation {
  name: string;
  help: string;
  methods: string[];
  answer: string;
  fields: Field[];
}

export interface Operations {
  operations: Operation[];
  forms: Record<string, string>;
}

export interface Run {
  run_id: string;
  dataset: string;
  table: string;
  timestamp: string;
  chunks: { start: Triple; stop: Triple };
}

export interface Status extends Run {
  kind?: string;
  started: string;
  generation: number;
  state: "running" | "finished" | "cancelled";
  total_chunks: number;
  completed_chunks: number;
  failed_chunks: number;
  rows: number;
  foreign_supervoxels: number;
  chunks_per_s: number;
  time_left_s: number | null;
  retrying_chunks?: number;
  retrying?: { reason: string; chunks: number }[];
  audit?: Record<string, number | Record<string, number> | string[]>;
}

export interface UnreadableRun {
  run_id: string;
  reason: string;
}

export interface DatasetRuns {
  dataset: string;
  table: string;
  has_table: boolean;
  runs: Status[];
  older_runs: number;
  unreadable: UnreadableRun[];
}

export interface Projection {
  columns: Axis;
  rows: Axis;
  done: number[][];
  failed: number[][];
  open: number[][];
  missing: number[][];
}

export interface ChunkMap extends Run {
  cell_chunks: Triple;
  cells: Triple;
  along: Record<Axis, Projection>;
}

export interface Pace {
  generation: number;
  start: string;
  step_s: number;
  chunks_per_s: number[];
}

export interface FailedPage {
  failed: { chunk: Triple; reason: string }[];
  next: string;
}

export interface Plan extends Run {
  total_chunks: number;
  leaf_tasks: number;
  expand_tasks: number[];
  concurrency: number;
  core_hours: number;
  wall_hours: number;
  rows: number;
  table_bytes?: number;
  rates?: { origin: string };
  cost_usd: Record<string, number | string>;
}

/** Asks for what changes nothing. */
export function read<T>(operation: string, values: Values = {}, signal?: AbortSignal): Promise<T> {
  const query = Object.entries(values).map(([name, value]) => `${name}=${encodeURIComponent(asQuery(value))}`);
  return requestJson<T>([operation, query.join("&")].filter(Boolean).join("?"), signal ? { signal } : {});
}

/** Does what changes something. */
export function change<T>(operation: string, values: Values): Promise<T> {
  const options = posting(values);
  return requestJson<T>(operation, { ...options, headers: { ...options.headers, ...OWN_PAGE } });
}

/** A value as a query and the terminal have it. */
export function asQuery(value: Value): string {
  return Array.isArray(value) ? value.map((corner) => corner.join(",")).join(":") : String(value);
}
