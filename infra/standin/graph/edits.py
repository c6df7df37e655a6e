"""Merges and splits: which nodes they replace, and the cells they write."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.standin.graph.chunked_graph import SUPERVOXEL_LAYER, ChunkedGraph
from infra.standin.graph.components import component_labels
from infra.standin.graph.edges import NO_EDGES, neuron_edges
from infra.standin.graph.rebuild import Rebuild
from infra.standin.graph.table import OPERATION_FAMILY, Cell, row_key
from shared.errors import BadRequestError
from shared.geometry.ids import chunk_coordinates, layers
from shared.types import Int64Array, UInt64Array

USER_ID = "0"
OPERATION_DONE = b"\x80\x04K\x00."  # the pickled number 0, as PyChunkedGraph marks finished operations
SOURCE_SIDE, SINK_SIDE = 1, 2


class EditRefusedError(BadRequestError):
    """A merge or split that cannot be done; the message says why."""


@dataclass(frozen=True)
class Edit:
    """A finished edit: what the graph's message says of it, and the cells it writes."""

    operation_id: int
    new_lvl2_ids: tuple[int, ...]
    new_root_ids: tuple[int, ...]
    old_root_ids: tuple[int, ...]
    cells: tuple[Cell, ...]

    def summary(self) -> dict[str, Any]:
        """The edit as the graph server tells it, in the order of its message's keys."""
        return {
            "operation_id": self.operation_id,
            "new_lvl2_ids": list(self.new_lvl2_ids),
            "new_root_ids": list(self.new_root_ids),
            "old_root_ids": list(self.old_root_ids),
        }

    def message_data(self) -> bytes:
        """The edit as data of a message: pickled, as the graph server sends it."""
        return pickle.dumps(self.summary(), protocol=4)


def plan_merge(graph: ChunkedGraph, supervoxels: UInt64Array, operation_id: int, time_ms: int) -> Edit:
    """The edit that joins the neurons of two supervoxels by an edge between these.

    Raises:
      EditRefusedError: if they are not two supervoxels of two neurons.
    """
    if supervoxels.size != 2:
        raise EditRefusedError("a merge takes two supervoxels")
    old_roots = _current_roots(graph, supervoxels)
    if old_roots[0] == old_roots[1]:
        raise EditRefusedError("both supervoxels belong to the same root already")
    l2_ids = graph.parents(supervoxels)
    coordinates = chunk_coordinates(l2_ids, graph.layout).tolist()
    edge = supervoxels.reshape(1, 2)
    rebuild = Rebuild(graph, time_ms)
    if coordinates[0] == coordinates[1]:
        parts = [(coordinates[0], l2_ids, NO_EDGES)]
    else:
        parts = [(coordinates[0], l2_ids[:1], edge), (coordinates[1], l2_ids[1:], edge[:, ::-1])]
    fresh = [
        rebuild.add_l2(
            tuple(coordinate),
            np.concatenate([graph.children(old) for old in olds.tolist()]),
            np.concatenate([_cross_edges(graph, olds), added]),
        )
        for coordinate, olds, added in parts
    ]
    roots = rebuild.climb(fresh, l2_ids, None)
    return _finished(rebuild, operation_id, fresh, roots, old_roots.tolist(), "added_edges", edge)


def plan_split(
    graph: ChunkedGraph,
    sources: UInt64Array,
    sinks: UInt64Array,
    inside_chunks: UInt64Array | None,
    operation_id: int,
    time_ms: int,
) -> Edit:
    """The edit that divides a neuron, each supervoxel going to the side it is nearer to, in steps along edges.

    Args:
      graph: the graph.
      sources: uint64[n], supervoxels that shall stay together on one side.
      sinks: uint64[m], those on the other.
      inside_chunks: edges inside chunks, see `neuron_edges`.
      operation_id: number of the edit.
      time_ms: time of its cells.

    Raises:
      EditRefusedError: if these are not supervoxels of one neuron, or the cut would not leave exactly two parts.
    """
    if not sources.size or not sinks.size or np.intersect1d(sources, sinks).size:
        raise EditRefusedError("a split takes sources and sinks, none of them both")
    root = np.unique(_current_roots(graph, np.concatenate([sources, sinks])))
    if root.size != 1:
        raise EditRefusedError("sources and sinks belong to different roots")
    neuron = neuron_edges(graph, int(root[0]), inside_chunks)
    links = neuron.indices(neuron.edges)
    sides = _sides(neuron.supervoxels.size, links, neuron.indices(sources), neuron.indices(sinks))
    cut = sides[links[:, 0]] != sides[links[:, 1]]
    if component_labels(neuron.supervoxels.size, links[~cut]).max() != 1:
        raise EditRefusedError("the cut would not divide the root into exactly two parts")
    kept, removed = neuron.edges[~cut], neuron.edges[cut]
    replaced = np.unique(neuron.l2_ids[links[cut]])
    rebuild = Rebuild(graph, time_ms)
    fresh = [node for l2_id in replaced.tolist() for node in _divide(rebuild, graph, l2_id, kept, removed)]
    roots = rebuild.climb(fresh, replaced, kept)
    if len(roots) != 2:
        raise EditRefusedError("the cut would not divide the root into exactly two parts")
    return _finished(rebuild, operation_id, fresh, roots, root.tolist(), "removed_edges", removed)


def _current_roots(graph: ChunkedGraph, supervoxels: UInt64Array) -> UInt64Array:
    unknown = (layers(supervoxels, graph.layout) != SUPERVOXEL_LAYER) | (graph.parents(supervoxels) == 0)
    if unknown.any():
        raise EditRefusedError(f"not a supervoxel of the graph: {supervoxels[unknown][0]}")
    return graph.roots(supervoxels)


def _cross_edges(graph: ChunkedGraph, l2_ids: UInt64Array) -> UInt64Array:
    blocks = [block for l2_id in l2_ids.tolist() for block in graph.cross_edges.get(l2_id, ())]
    return np.concatenate([NO_EDGES, *blocks])


def _sides(count: int, links: Int64Array, sources: Int64Array, sinks: Int64Array) -> Int64Array:
    """Side of each vertex: that of the nearest source or sink, in steps along links; the source's where both are."""
    sides = np.zeros(count, dtype=np.int64)
    sides[sources], sides[sinks] = SOURCE_SIDE, SINK_SIDE
    both_ways = np.concatenate([links, links[:, ::-1]])
    while True:
        before = sides.copy()
        for side in (SINK_SIDE, SOURCE_SIDE):
            reached = both_ways[before[both_ways[:, 0]] == side, 1]
            sides[reached[before[reached] == 0]] = side
        if np.array_equal(before, sides):
            return sides


def _divide(
    rebuild: Rebuild, graph: ChunkedGraph, l2_id: int, kept: UInt64Array, removed: UInt64Array
) -> Sequence[int]:
    """New L2 nodes for the parts that the kept edges leave of an old one."""
    supervoxels = graph.children(l2_id)
    inside = kept[np.isin(kept, supervoxels).all(axis=1)]
    order = np.argsort(supervoxels)
    labels = component_labels(supervoxels.size, order[np.searchsorted(supervoxels, inside, sorter=order)])
    gone = {tuple(sorted(edge)) for edge in removed.tolist()}
    crossing = [edge for edge in _cross_edges(graph, np.array([l2_id])).tolist() if tuple(sorted(edge)) not in gone]
    cross_edges = np.array(crossing, dtype=np.uint64).reshape(-1, 2)
    x, y, z = chunk_coordinates(np.array([l2_id], dtype=np.uint64), graph.layout)[0].tolist()
    parts = [supervoxels[labels == label] for label in range(int(labels.max()) + 1)]
    return [rebuild.add_l2((x, y, z), part, cross_edges[np.isin(cross_edges[:, 0], part)]) for part in parts]


def _finished(
    rebuild: Rebuild,
    operation_id: int,
    fresh: Sequence[int],
    roots: Sequence[int],
    old_roots: Sequence[int],
    change: str,
    edges: UInt64Array,
) -> Edit:
    """Adds the roots' lineage and the operation's record to the cells of a rebuilt tree."""
    number = row_key(operation_id).encode()
    for root, qualifier, others in [(r, "former_parents", old_roots) for r in roots] + [
        (r, "new_parents", roots) for r in old_roots
    ]:
        rebuild.add_cell(root, qualifier, np.array(others, dtype="<u8").tobytes())
        rebuild.add_cell(root, "operation_id", number)
    rebuild.add_cell(operation_id, change, np.ascontiguousarray(edges, dtype="<u8").tobytes(), OPERATION_FAMILY)
    rebuild.add_cell(operation_id, "roots", np.array(roots, dtype="<u8").tobytes(), OPERATION_FAMILY)
    rebuild.add_cell(operation_id, "user", USER_ID.encode(), OPERATION_FAMILY)
    rebuild.add_cell(operation_id, "operation_status", OPERATION_DONE)
    return Edit(
        operation_id, tuple(sorted(fresh)), tuple(sorted(roots)), tuple(sorted(old_roots)), tuple(rebuild.cells)
    )
