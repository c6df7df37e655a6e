/** A neuroglancer state with the neurons selected and their nodes as an annotation layer. */

import { colourOf } from "../common/palette";
import type { Group } from "./loading";
import type { Nodes } from "./nodes";

const VIEWER = "https://spelunker.cave-explorer.org/";
/** Browsers and proxies cut addresses that are much longer. */
const MOST_IN_LINK = 800;

/** The link, whose annotations are the largest nodes if there are more than a link can carry. */
export function neuroglancerLink(source: string, groups: Group[], nodes: Nodes): string {
  return `${VIEWER}#!${encodeURIComponent(JSON.stringify(neuroglancerState(source, groups, nodes, MOST_IN_LINK)))}`;
}

/** Whether the link has all nodes. */
export function linkHasAll(nodes: Nodes): boolean {
  return nodes.rowsIn("cached").length <= MOST_IN_LINK;
}

/** The state; coordinates are nm, in which the annotations' space is measured.
 *
 * @param source address of the graph, `graphene://...`.
 * @param most annotations.
 */
export function neuroglancerState(source: string, groups: Group[], nodes: Nodes, most = Infinity): object {
  const rows = nodes.rowsIn("cached").filter((row) => !Number.isNaN(nodes.pointsNm[3 * row]!));
  const volume = nodes.measures.size_nm3;
  const largest = rows.sort((a, b) => volume[b]! - volume[a]!).slice(0, most);
  const point = (row: number): number[] => Array.from(nodes.pointsNm.subarray(3 * row, 3 * row + 3));
  const metres = [1e-9, "m"];
  const dimensions = { x: metres, y: metres, z: metres };
  const roots = groups.filter(({ root }) => root !== null);
  return {
    dimensions,
    ...(largest.length ? { position: point(largest[0]!) } : {}),
    layers: [
      {
        type: "segmentation",
        name: "segmentation",
        source,
        segments: roots.map(({ root }) => String(root)),
        segmentColors: Object.fromEntries(roots.map(({ root }) => [String(root), colourOf(groups.findIndex((g) => g.root === root))])),
      },
      {
        type: "annotation",
        name: "L2 nodes",
        source: { url: "local://annotations", transform: { outputDimensions: dimensions } },
        annotationColor: "#e69f00",
        annotations: largest.map((row) => ({
          type: "point",
          id: String(nodes.ids[row]),
          point: point(row),
          description: `L2 node ${nodes.ids[row]}`,
        })),
      },
    ],
    layout: "4panel",
    selectedLayer: { layer: "L2 nodes", visible: true },
  };
}
