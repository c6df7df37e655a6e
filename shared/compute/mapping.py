"""Whether graph and volume agree about a chunk, and the nodes of its supervoxels if they do."""

from __future__ import annotations

import logging

import numpy as np

from shared.compute.chunk import LoadedChunk, MappedChunk
from shared.errors import GraphDisagreementError
from shared.geometry.ids import IdLayout, l2_id_range
from shared.graph.protocol import L2Mapping
from shared.telemetry.log import event, get_logger

FOREIGN_SHARE = 0.01
"""Share of a chunk's supervoxels up to which the graph may give them to other chunks..."""

FEW_SUPERVOXELS = 10
"""... and so many in any case. Of more than so many, one at least must have a node."""

_logger = get_logger("compute")


def map_chunk(
    graph_id: str, loaded: LoadedChunk, mapping: L2Mapping, layout: IdLayout
) -> MappedChunk | GraphDisagreementError:
    """The nodes of a chunk's supervoxels.

    A supervoxel that the graph gives to another chunk, or to an id that is no node, has no node here: a row would be
    wrong.

    Args:
      graph_id: the dataset.
      loaded: the chunk.
      mapping: what the graph says of its supervoxels, in their order.
      layout: bit layout of the graph's ids.

    Returns:
      An error if the graph gives more than a few supervoxels elsewhere, or none to any node of the chunk although the
      moment is not before the graph: such a chunk must not count as done.
    """
    first, last = l2_id_range(loaded.coordinate, layout)
    is_own = (mapping.l2_ids >= np.uint64(first)) & (mapping.l2_ids <= np.uint64(last))
    n, n_foreign = len(loaded.supervoxels), int((mapping.impossible | ~is_own & (mapping.l2_ids != 0)).sum())
    if n_foreign > max(FOREIGN_SHARE * n, FEW_SUPERVOXELS):
        return GraphDisagreementError(
            f"the graph gives {n_foreign} of the chunk's {n} supervoxels to other chunks, or to what is no node"
        )
    if n > FEW_SUPERVOXELS and not is_own.any() and not mapping.not_yet.any():
        return GraphDisagreementError(f"the graph gives none of the chunk's {n} supervoxels to a node of the chunk")
    if n_foreign:
        fields = {"dataset": graph_id, "chunk": loaded.coordinate, "supervoxels": n_foreign}
        event(_logger, logging.ERROR, "the volume has supervoxels of other chunks here", **fields)
    return MappedChunk(np.where(is_own, mapping.l2_ids, np.uint64(0)), n_foreign)
