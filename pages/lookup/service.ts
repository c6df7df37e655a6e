/** The look-up's API, as far as the page asks it. */

import { posting, request, requestJson } from "../common/request";
import type { Datasets } from "./ids";
import { ATTRIBUTES } from "./nodes";

export interface Total {
  n_l2: number;
  n_cached: number;
  n_empty: number;
  n_missing: number;
  complete: boolean;
  size_nm3: string;
  area_nm2: string;
  max_dt_nm: number | null;
  bounds_nm: [number[], number[]] | null;
  rep_l2_id: string | null;
  error: string | null;
}

export interface Failure {
  id: string;
  reason: string;
  since: string;
}

const API = "api/v1";
const BINARY = { "Content-Type": "application/octet-stream" };

/** Where the datasets' routes are, with host, for snippets. */
export function apiUrl(dataset: string): string {
  return new URL(`${API}/table/${encodeURIComponent(dataset)}`, location.href.split("#")[0]).href;
}

export function datasets(): Promise<Datasets> {
  return requestJson<Datasets>(`${API}/table_mapping`);
}

export function totals(
  dataset: string,
  roots: readonly bigint[],
  publish: boolean,
  signal: AbortSignal,
): Promise<Record<string, Total>> {
  const url = `${API}/table/${encodeURIComponent(dataset)}/totals?int64_as_str=true&update_cache=${publish}`;
  return requestJson(url, posting({ node_ids: roots.map(String) }, signal));
}

export function l2IdsOf(
  dataset: string,
  roots: readonly bigint[],
  signal: AbortSignal,
): Promise<Record<string, { l2_ids: string[] | null; error: string | null }>> {
  const url = `${API}/table/${encodeURIComponent(dataset)}/l2_ids?int64_as_str=true`;
  return requestJson(url, posting({ node_ids: roots.map(String) }, signal));
}

/** Attributes of nodes as a stream of Arrow; what is missing is computed, and waited for. */
export async function attributes(
  dataset: string,
  ids: BigUint64Array<ArrayBuffer>,
  waitS: number,
  signal: AbortSignal,
): Promise<ArrayBuffer> {
  const query = `format=arrow&attribute_names=${ATTRIBUTES}${waitS ? `&wait=${waitS}` : ""}`;
  const url = `${API}/table/${encodeURIComponent(dataset)}/attributes?${query}`;
  return (await request(url, { method: "POST", headers: BINARY, body: ids, signal })).arrayBuffer();
}

/** All attributes of nodes, as the API gives them: a file to take away. */
export async function download(dataset: string, ids: BigUint64Array<ArrayBuffer>, format: string): Promise<ArrayBuffer> {
  const url = `${API}/table/${encodeURIComponent(dataset)}/attributes?format=${format}&int64_as_str=true`;
  return (await request(url, { method: "POST", headers: BINARY, body: ids })).arrayBuffer();
}

/** Why nodes were given up. */
export async function failures(
  dataset: string,
  ids: BigUint64Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<Failure[]> {
  const url = `${API}/table/${encodeURIComponent(dataset)}/status`;
  const options = { method: "POST", headers: BINARY, body: ids, signal };
  const answer = await requestJson<{ ids: { failed: Failure[] } }>(url, options);
  return answer.ids.failed;
}
