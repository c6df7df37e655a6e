/** The principal axes of nodes as lines. */

import type { Vector3 } from "three";

import type { Nodes } from "./nodes";

/** The ends of the axes of all nodes that have some, six numbers each, in nm from `centreNm`. Their lengths are those of
 * an ellipsoid with the node's volume.
 */
export function axesOf(nodes: Nodes, centreNm: Vector3): Float32Array {
  const ends: number[] = [];
  for (let row = 0; row < nodes.count; row++) pushAxes(nodes, row, centreNm, ends);
  return new Float32Array(ends);
}

function pushAxes(nodes: Nodes, row: number, centreNm: Vector3, ends: number[]): void {
  const spreads = nodes.spreadsNm.subarray(3 * row, 3 * row + 3);
  const product = spreads[0]! * spreads[1]! * spreads[2]!;
  if (!(product > 0) || Number.isNaN(nodes.pointsNm[3 * row]!)) return;
  const scale = Math.cbrt((3 * nodes.measures.size_nm3[row]!) / (4 * Math.PI * product));
  for (let axis = 0; axis < 3; axis++) {
    for (const sign of [-1, 1]) {
      for (let side = 0; side < 3; side++) {
        const along = nodes.axes[9 * row + 3 * axis + side]! * spreads[axis]! * scale * sign;
        ends.push(nodes.pointsNm[3 * row + side]! + along - centreNm.getComponent(side));
      }
    }
  }
}
