/** What a reader types or pastes: ids, or a neuroglancer link or state, from which the segments are taken. */

import { isState, type Layer, layersOf, NotUnderstood } from "./state";

export interface Asked {
  ids: bigint[];
  /** The dataset that a neuroglancer state names; null if it names none of ours, or there is no state. */
  dataset: string | null;
}

/** Datasets by name, as `table_mapping` tells of them. */
export type Datasets = Record<string, { cv_path: string; l2cache_id: string }>;

const L2_LAYER = 2;
const LAYER_SHIFT = 56n;
const END = 1n << 64n;

/** The ids in a text, distinct, in their order.
 *
 * @throws NotUnderstood if there is something in it that is none.
 */
export function readIds(text: string, datasets: Datasets): Asked {
  const trimmed = text.trim();
  if (isState(trimmed)) return readState(trimmed, datasets);
  const words = trimmed.split(/[\s,;[\]()"']+/).filter((word) => word);
  return { ids: distinct(words.map(readId)), dataset: null };
}

/** Whether an id is of layer 2: the layer is in the highest eight bits. */
export function isL2(id: bigint): boolean {
  return Number(id >> LAYER_SHIFT) === L2_LAYER;
}

function readId(word: string): bigint {
  const id = /^\d{1,20}$/.test(word) ? BigInt(word) : END;
  if (id >= END) throw new NotUnderstood(`“${word.slice(0, 40)}” is no id: ids are whole numbers of up to 64 bits.`);
  return id;
}

function distinct(ids: bigint[]): bigint[] {
  return [...new Set(ids)];
}

function readState(text: string, datasets: Datasets): Asked {
  const found = layersOf(text).filter((layer) => layer.type?.startsWith("segmentation") && Array.isArray(layer.segments));
  const ours = found.filter((layer) => datasetOf(layer, datasets) !== null);
  const chosen = ours.length ? ours : found;
  const segments = chosen.flatMap((layer) => layer.segments as unknown[]).map(String);
  // a segment with a ! before it is in the list, but not shown
  const ids = distinct(segments.filter((segment) => /^\d+$/.test(segment)).map(readId));
  if (!ids.length) throw new NotUnderstood("No segment is selected in this neuroglancer state.");
  return { ids, dataset: chosen[0] ? datasetOf(chosen[0], datasets) : null };
}

function datasetOf(layer: Layer, datasets: Datasets): string | null {
  const table = tableOf(JSON.stringify(layer.source ?? ""));
  return Object.entries(datasets).find(([, { cv_path }]) => table !== null && tableOf(cv_path) === table)?.[0] ?? null;
}

/** The graph's name in an address such as graphene://https://host/segmentation/table/name. */
function tableOf(address: string): string | null {
  return /\/table\/([^/"?#|]+)/.exec(address)?.[1] ?? null;
}
