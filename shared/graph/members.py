"""Whether the supervoxels that a graph names for L2 nodes can be theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shared.errors import GraphUnavailableError
from shared.geometry.ids import IdLayout, supervoxel_chunks, supervoxel_chunks_of_nodes
from shared.types import UInt64Array


def check_members(supervoxels_of: Mapping[int, UInt64Array], layout: IdLayout) -> None:
    """Refuses an answer that gives a node what is no supervoxel of the node's own chunk, by the bits of its id.

    A node never reaches beyond its chunk: such an answer is a fault of the graph, and tells nothing of the node.

    Args:
      supervoxels_of: supervoxels by L2 id.
      layout: bit layout of the graph's ids.

    Raises:
      GraphUnavailableError: naming the first such node and what was wrong; a fault may pass.
    """
    counts = [supervoxels.size for supervoxels in supervoxels_of.values()]
    if not any(counts):
        return
    l2_ids = np.array(list(supervoxels_of), dtype=np.uint64)
    supervoxels = np.concatenate(list(supervoxels_of.values()))
    foreign = supervoxel_chunks(supervoxels, layout) != np.repeat(supervoxel_chunks_of_nodes(l2_ids, layout), counts)
    if foreign.any():
        first = int(np.argmax(foreign))
        l2_id = np.repeat(l2_ids, counts)[first]
        raise GraphUnavailableError(
            f"the graph gives node {l2_id} what is no supervoxel of its chunk: {supervoxels[first]} "
            f"({int(foreign.sum())} such ids in one answer)"
        )
