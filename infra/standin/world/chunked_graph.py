"""The layers of a chunked graph over supervoxels, as cells of a graph table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from infra.standin.graph.components import component_labels
from infra.standin.graph.edges import cross_layers
from infra.standin.graph.table import (
    CROSS_EDGE_FAMILY,
    CROSS_EDGE_PREFIX,
    TREE_FAMILY,
    Cell,
    encode_id,
    encode_ids,
    row_key,
)
from infra.standin.world.supervoxels import Supervoxels
from shared.geometry.ids import L2_LAYER, IdLayout, compose_ids
from shared.types import Int64Array, UInt64Array

WORLD_TIME_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
TABLE_VERSION = b"2.21.1"  # of PyChunkedGraph, whose tables these cells are like; clients ask for it


@dataclass(frozen=True)
class Layer:
    """The nodes of one layer, ascending by id.

    Attributes:
      ids: uint64[n].
      children: the ids of the layer below, uint64, of each node.
      of_supervoxels: int64[s], for each supervoxel the place of its node in `ids`.
    """

    ids: UInt64Array
    children: tuple[UInt64Array, ...]
    of_supervoxels: Int64Array


def layers_over(supervoxels: Supervoxels, root_layer: int, layout: IdLayout) -> list[Layer]:
    """All layers from 2 to the roots: the connected nodes of the layer below in a chunk of twice the edge length.

    Args:
      supervoxels: what the graph is about.
      root_layer: the layer whose only chunk is the whole volume.
      layout: bit layout of ids.
    """
    made: list[Layer] = []
    below_ids, below = supervoxels.ids, np.arange(supervoxels.ids.size)
    chunks = supervoxels.chunks
    for layer in range(L2_LAYER, root_layer + 1):
        coordinates = supervoxels.chunks >> (layer - L2_LAYER)
        chunks = np.zeros((below_ids.size, 3), dtype=np.int64)
        chunks[below] = coordinates
        one, other = supervoxels.edges.T
        within = (coordinates[one] == coordinates[other]).all(axis=1)
        labels = component_labels(below_ids.size, below[supervoxels.edges[within]])
        ids, node_of_below = _numbered(layer, chunks, labels, layout)
        order = np.argsort(node_of_below, kind="stable")
        ends = np.cumsum(np.bincount(node_of_below, minlength=ids.size))[:-1]
        below = node_of_below[below]
        made.append(Layer(ids, tuple(np.split(below_ids[order], ends)), below))
        below_ids = ids
    return made


def _numbered(layer: int, chunks: Int64Array, labels: Int64Array, layout: IdLayout) -> tuple[UInt64Array, Int64Array]:
    """Ids of nodes, ascending, and for each vertex below the place of its node.

    Args:
      layer: layer of the nodes.
      chunks: int64[v, 3], chunk of each vertex on that layer.
      labels: int64[v], the component of each vertex.
      layout: bit layout of ids.
    """
    _, first = np.unique(labels, return_index=True)
    node_chunks = chunks[first]
    # Ids of segment 0 stand for chunks; as ids they sort by chunk, and components keep their order within one.
    chunk_ids = compose_ids(layer, node_chunks, np.zeros(first.size, dtype=np.uint64), layout)
    order = np.argsort(chunk_ids, kind="stable")
    _, starts, counts = np.unique(chunk_ids[order], return_index=True, return_counts=True)
    numbers = np.arange(first.size) - np.repeat(starts, counts) + 1
    place = np.empty(first.size, dtype=np.int64)
    place[order] = np.arange(first.size)
    return chunk_ids[order] + numbers.astype(np.uint64), place[labels]


def table_cells(supervoxels: Supervoxels, layers: list[Layer], layout: IdLayout) -> Iterator[Cell]:
    """The cells that PyChunkedGraph would have written for these nodes, all at the time of the world's making."""
    yield Cell("version", TREE_FAMILY, "version", WORLD_TIME_US, TABLE_VERSION)
    for layer in layers:
        for node, children in zip(layer.ids.tolist(), layer.children, strict=True):
            yield _cell(node, TREE_FAMILY, "children", encode_ids(children))
            parent = encode_id(node)
            for child in children.tolist():
                yield _cell(child, TREE_FAMILY, "parents", parent)
    yield from _cross_edge_cells(supervoxels, layers[0], layout)


def _cross_edge_cells(supervoxels: Supervoxels, l2_layer: Layer, layout: IdLayout) -> Iterator[Cell]:
    places = np.concatenate([supervoxels.edges, supervoxels.edges[:, ::-1]])
    edges = supervoxels.ids[places]
    edge_layers = cross_layers(edges, layout)
    owners = l2_layer.of_supervoxels[places[:, 0]]
    order = np.lexsort((edges[:, 1], edges[:, 0], edge_layers, owners))
    order = order[edge_layers[order] > 1]
    if not order.size:
        return
    group = np.stack([owners[order], edge_layers[order]], axis=1)
    starts = np.flatnonzero((np.diff(group, axis=0, prepend=-1) != 0).any(axis=1))
    for (owner, layer), block in zip(group[starts].tolist(), np.split(edges[order], starts[1:]), strict=True):
        node = int(l2_layer.ids[owner])
        yield _cell(node, CROSS_EDGE_FAMILY, f"{CROSS_EDGE_PREFIX}{layer}", encode_ids(block))


def edges_inside_chunks(supervoxels: Supervoxels) -> UInt64Array:
    """Pairs of touching supervoxels of one neuron in one chunk: uint64[n, 2]."""
    one, other = supervoxels.edges.T
    inside = (supervoxels.chunks[one] == supervoxels.chunks[other]).all(axis=1)
    return np.asarray(supervoxels.ids[supervoxels.edges[inside]])


def _cell(node: int, family: str, qualifier: str, value: bytes) -> Cell:
    return Cell(row_key(node), family, qualifier, WORLD_TIME_US, value)
