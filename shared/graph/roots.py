"""What a graph says of the L2 nodes of roots, judged: of which roots it can be believed."""

from __future__ import annotations

from collections.abc import Mapping

from shared.geometry.ids import IdLayout, is_l2
from shared.graph.protocol import RootNodes
from shared.types import UInt64Array

NOT_KNOWN = "the graph does not know this node"
OTHER_LAYERS = "the graph gives this node descendants that are no L2 nodes"


def judged_roots(nodes: Mapping[int, UInt64Array], errors: Mapping[int, str], layout: IdLayout) -> RootNodes:
    """Divides roots into those whose L2 nodes are known and those that are in error.

    Args:
      nodes: by root its descendants where the graph's tree was left, uint64[m], ascending and distinct; none of a root
        that the graph does not know.
      errors: of the other roots.
      layout: bit layout of the graph's ids.
    """
    l2_ids, wrong = {}, dict(errors)
    for root, ids in nodes.items():
        if not ids.size:
            wrong[root] = NOT_KNOWN
        elif not is_l2(ids, layout).all():
            # A supervoxel without an L2 node is in no cache: a total without it would be too small.
            wrong[root] = OTHER_LAYERS
        else:
            l2_ids[root] = ids
    return RootNodes(l2_ids, wrong)
