"""Edges between supervoxels: those inside chunks, those across chunk borders, and their layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np

from infra.standin.graph.chunked_graph import SUPERVOXEL_LAYER, ChunkedGraph
from infra.standin.graph.components import places
from infra.standin.graph.table import decode_ids
from shared.geometry.ids import IdLayout, node_coordinates
from shared.types import Int64Array, UInt64Array

NO_EDGES = np.empty((0, 2), dtype=np.uint64)


def cross_layers(edges: UInt64Array, layout: IdLayout) -> Int64Array:
    """Layer of each edge: 1 inside a chunk, l where the two chunks first share one of layer l + 1.

    Args:
      edges: uint64[n, 2], pairs of supervoxels.
      layout: bit layout of the graph's ids.

    Returns:
      int64[n].
    """
    one, other = (node_coordinates(edges[:, side], SUPERVOXEL_LAYER, layout) for side in (0, 1))
    levels = np.ones(len(edges), dtype=np.int64)
    while (apart := (one != other).any(axis=1)).any():
        levels += apart
        one, other = one >> 1, other >> 1
    return levels


@dataclass(frozen=True)
class NeuronEdges:
    """The supervoxels of a neuron and the edges that hold it together.

    Attributes:
      supervoxels: uint64[n].
      l2_ids: uint64[n], the L2 node of each.
      edges: uint64[m, 2], pairs of these supervoxels.
    """

    supervoxels: UInt64Array
    l2_ids: UInt64Array
    edges: UInt64Array

    def indices(self, supervoxels: UInt64Array) -> Int64Array:
        """Place of each of these supervoxels in the arrays: int64, shaped as the argument."""
        return places(self.supervoxels, supervoxels)[0]


def neuron_edges(graph: ChunkedGraph, root: int, inside_chunks: UInt64Array | None) -> NeuronEdges:
    """What holds a neuron together now.

    Args:
      graph: the graph.
      root: its root id, up to date.
      inside_chunks: uint64[n, 2], all edges inside chunks, or None where nobody knows them: then the supervoxels of
        an L2 node count as all touching the first of them.
    """
    l2_ids = graph.leaves(root, 2)
    children = [graph.children(l2_id) for l2_id in l2_ids.tolist()]
    supervoxels = np.concatenate(children)
    owners = np.repeat(l2_ids, [ids.size for ids in children])
    blocks = chain.from_iterable(graph.cross_edges.get(l2_id, ()) for l2_id in l2_ids.tolist())
    crossing = _within(np.concatenate([NO_EDGES, *blocks]), supervoxels)
    if inside_chunks is None:
        known = [np.stack([np.full(ids.size - 1, ids[0]), ids[1:]], axis=1) for ids in children]
    else:
        known = [inside_chunks, _added(graph)]
    inside = _within(np.concatenate([NO_EDGES, *known]), supervoxels)
    place = places(supervoxels, inside)[0]
    inside = inside[owners[place[:, 0]] == owners[place[:, 1]]]
    edges = np.unique(np.sort(np.concatenate([crossing, inside]), axis=1), axis=0)
    return NeuronEdges(supervoxels, owners, edges)


def _within(edges: UInt64Array, supervoxels: UInt64Array) -> UInt64Array:
    return edges[places(supervoxels, edges)[1].all(axis=1)]


def _added(graph: ChunkedGraph) -> UInt64Array:
    """Edges that merges have added anywhere: uint64[n, 2]."""
    values = [cells["added_edges"] for cells in graph.operations.values() if "added_edges" in cells]
    return np.concatenate([NO_EDGES, *(decode_ids(value).reshape(-1, 2) for value in values)])
