/** What a reader copies: the same nodes by CAVEclient and by curl. No token is ever in it. */

/** Python that makes a DataFrame of a neuron's nodes.
 *
 * @param cvPath the graph's address, graphene://https://host/segmentation/table/name.
 * @param roots to ask for; L2 ids are asked for as they are if there is none.
 */
export function pythonSnippet(server: string, dataset: string, cvPath: string, roots: bigint[], l2Ids: bigint[]): string {
  const [, host, table] = /^graphene:\/\/(?:middleauth\+)?(https?:\/\/[^/]+)\/.*\/([^/]+)\/?$/.exec(cvPath) ?? [];
  const head = [
    "from caveclient.auth import AuthClient",
    ...(roots.length ? ["from caveclient.chunkedgraph import ChunkedGraphClient"] : []),
    "from caveclient.l2cache import L2CacheClient",
    "",
    `auth = AuthClient(server_address="${host ?? server}")  # your saved token, where one is needed`,
  ];
  const cache = `cache = L2CacheClient("${server}", table_name="${dataset}", auth_client=auth)`;
  const tail = ["", "nodes = cache.get_l2data_table(l2_ids)", `print(len(nodes), "nodes,", nodes["size_nm3"].sum() / 1e9, "µm³")`];
  if (!roots.length) return [...head, cache, "", `l2_ids = [${list(l2Ids)}]`, ...tail].join("\n");
  const graph = `graph = ChunkedGraphClient("${host}", table_name="${table}", auth_client=auth)`;
  const one = `l2_ids = graph.get_leaves(${roots[0]}, stop_layer=2)`;
  const several = `l2_ids = [i for root in (${list(roots)}) for i in graph.get_leaves(root, stop_layer=2)]`;
  return [...head, graph, cache, "", roots.length === 1 ? one : several, ...tail].join("\n");
}

/** The same by curl: totals of roots, or attributes of L2 ids. */
export function curlSnippet(api: string, roots: bigint[], l2Ids: bigint[]): string {
  const [route, key, ids] = roots.length ? ["totals", "node_ids", roots] : ["attributes", "l2_ids", l2Ids];
  const body = `{"${key}": [${(ids as bigint[]).slice(0, 50).map((id) => `"${id}"`).join(", ")}]}`;
  return `curl -H "Authorization: Bearer $CAVE_TOKEN" \\\n  -d '${body}' \\\n  '${api}/${route}?int64_as_str=true'`;
}

function list(ids: bigint[]): string {
  return ids.map(String).join(", ");
}
