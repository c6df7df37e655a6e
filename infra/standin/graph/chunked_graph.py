"""A chunked graph with its whole history in memory, loaded from the cells of its table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from infra.standin.graph.history import History
from infra.standin.graph.table import (
    CROSS_EDGE_FAMILY,
    CROSS_EDGE_PREFIX,
    OPERATION_FAMILY,
    TREE_FAMILY,
    Cell,
    decode_ids,
)
from shared.errors import BadRequestError
from shared.geometry.grid import Box, GraphGeometry
from shared.geometry.ids import L2_LAYER, compose_ids, layers, node_coordinates
from shared.types import BoolArray, UInt64Array

SUPERVOXEL_LAYER = 1
NO_IDS = np.empty(0, dtype=np.uint64)
LINEAGE_QUALIFIERS = ("former_parents", "new_parents", "operation_id")


@dataclass(frozen=True)
class NodeRow:
    """What a table holds of a node besides its parents: when it was made, and of what."""

    time_ms: int
    children: UInt64Array


class ChunkedGraph:
    """The nodes of a table. Reading is safe in any thread while one other thread adds cells."""

    def __init__(self, info: Mapping[str, Any], cells: Iterable[Cell]) -> None:
        self.info = dict(info)
        self.geometry = GraphGeometry.from_info(info)
        self.layout = self.geometry.layout
        self.root_layer = int(info["graph"]["n_layers"])
        self.version = ""
        self.rows: dict[int, NodeRow] = {}
        self.cross_edges: dict[int, list[UInt64Array]] = defaultdict(list)
        self.lineage: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.operations: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.operation_times_ms: dict[int, int] = {}
        self._parents = History.of(NO_IDS, np.empty(0, dtype=np.int64), NO_IDS)
        self._inner_nodes = NO_IDS
        self.add(cells)

    def add(self, cells: Iterable[Cell]) -> None:
        """Takes in more cells of the table, in any order. Of several cells of one column the newest counts."""
        parent_cells: list[tuple[int, int, bytes]] = []
        fresh_nodes: list[int] = []
        for cell in sorted(cells, key=lambda cell: cell.timestamp_us):
            if not cell.key.isdigit():
                self.version = cell.value.decode() if cell.key == "version" else self.version
                continue
            node = int(cell.key)
            if cell.family == TREE_FAMILY and cell.qualifier == "parents":
                parent_cells.append((node, cell.timestamp_us // 1000, cell.value))
            elif cell.family == TREE_FAMILY and cell.qualifier == "children":
                self.rows[node] = NodeRow(cell.timestamp_us // 1000, decode_ids(cell.value))
                fresh_nodes.append(node)
            else:
                self._add_rare(node, cell)
        nodes, times_ms, values = zip(*parent_cells, strict=True) if parent_cells else ((), (), ())
        self._parents = self._parents.with_cells(
            np.array(nodes, dtype=np.uint64),
            np.array(times_ms, dtype=np.int64),
            np.frombuffer(b"".join(values), dtype="<u8").astype(np.uint64),
        )
        self._inner_nodes = np.union1d(self._inner_nodes, np.array(fresh_nodes, dtype=np.uint64))

    def _add_rare(self, node: int, cell: Cell) -> None:
        """Takes in a cell that only some rows have: cross edges, a root's lineage, the record of an operation."""
        if cell.family == CROSS_EDGE_FAMILY and cell.qualifier.startswith(CROSS_EDGE_PREFIX):
            self.cross_edges[node].append(decode_ids(cell.value).reshape(-1, 2))
        elif cell.family == TREE_FAMILY and cell.qualifier in LINEAGE_QUALIFIERS:
            self.lineage[node][cell.qualifier] = cell.value
        elif cell.family in (TREE_FAMILY, OPERATION_FAMILY) and node >> (64 - self.layout.layer_bits) == 0:
            self.operations[node][cell.qualifier] = cell.value
            self.operation_times_ms.setdefault(node, cell.timestamp_us // 1000)

    def parents(self, nodes: UInt64Array, time_ms: int | None = None) -> UInt64Array:
        """Parent of each node at a time: uint64[n], 0 where it had none."""
        return self._parents.at(nodes, time_ms)

    def children(self, node: int) -> UInt64Array:
        """Children of a node, in the order of the table: uint64[n], empty for a supervoxel or an unknown node."""
        row = self.rows.get(node)
        return NO_IDS if row is None else row.children

    def roots(self, nodes: UInt64Array, stop_layer: int | None = None, time_ms: int | None = None) -> UInt64Array:
        """Ancestor of each node on `stop_layer` at a time, or on the next layer above where a branch skips it.

        Args:
          nodes: uint64[n].
          stop_layer: the root layer if None.
          time_ms: now if None.

        Returns:
          uint64[n]. As in PyChunkedGraph, an unknown node gives 0, but a request none of whose nodes has a parent
          (as at a time before the graph existed) gives the nodes themselves.
        """
        stop = min(stop_layer or self.root_layer, self.root_layer)
        found = nodes.copy()
        below = np.flatnonzero(layers(found, self.layout) < stop)
        while below.size:
            parents = self.parents(found[below], time_ms)
            if not parents.any():
                break
            found[below] = parents
            below = below[layers(parents, self.layout) < stop]
        return found

    def leaves(self, node: int, stop_layer: int = SUPERVOXEL_LAYER, bounds_voxels: Box | None = None) -> UInt64Array:
        """Descendants of a node on `stop_layer` (or below where a branch skips it) in the chunks that bounds touch.

        Args:
          node: a node of any layer; an unknown one has no leaves.
          stop_layer: 1 for supervoxels.
          bounds_voxels: whole chunks count, as in PyChunkedGraph; None for everywhere.

        Returns:
          uint64[n], ordered as the tables' children are.
        """
        found: list[UInt64Array] = []
        pending = np.array([node], dtype=np.uint64) if node in self.rows else NO_IDS
        while pending.size:
            pending = pending[self._touches(pending, bounds_voxels)]
            done = layers(pending, self.layout) <= stop_layer
            found.append(pending[done])
            open_nodes = pending[~done].tolist()
            pending = np.concatenate([NO_IDS, *(self.children(parent) for parent in open_nodes)])
        return np.concatenate([NO_IDS, *found])

    def _touches(self, nodes: UInt64Array, bounds_voxels: Box | None) -> BoolArray:
        inside = np.ones(nodes.size, dtype=bool)
        if bounds_voxels is None:
            return inside
        box = self.geometry.chunks_of_box(bounds_voxels)
        node_layers = layers(nodes, self.layout)
        for layer in np.unique(node_layers).tolist():
            of_layer = node_layers == layer
            chunks = 1 << max(layer - L2_LAYER, 0)
            low = node_coordinates(nodes[of_layer], layer, self.layout) * chunks
            inside[of_layer] = ((low < np.array(box.stop)) & (low + chunks > np.array(box.start))).all(axis=1)
        return inside

    def l2_chunk_children(self, chunk_id: int, time_ms: int | None = None) -> UInt64Array:
        """Pairs (L2 id, supervoxel) of a chunk's nodes made until a time, superseded ones included: uint64[n, 2].

        Args:
          chunk_id: an L2 id's bits with segment 0; other segment bits are ignored.
          time_ms: now if None.

        Raises:
          BadRequestError: if the chunk is not of layer 2.
        """
        layer = chunk_id >> (64 - self.layout.layer_bits)
        if layer != L2_LAYER:
            raise BadRequestError(
                f"This function only accepts level 2 chunks, the chunk requested is a level {layer} chunk"
            )
        l2_ids = self.chunk_nodes(chunk_id)
        rows = [self.rows[l2_id] for l2_id in l2_ids.tolist()]
        kept = np.array([time_ms is None or row.time_ms <= time_ms for row in rows], dtype=bool)
        children = [row.children for row, keep in zip(rows, kept, strict=True) if keep]
        owners = np.repeat(l2_ids[kept], [ids.size for ids in children])
        return np.stack([owners, np.concatenate([NO_IDS, *children])], axis=1)

    def chunk_nodes(self, chunk_id: int) -> UInt64Array:
        """All nodes ever made in the chunk that a node id of layer 2 or above names, ascending: uint64[n]."""
        segment_mask = (1 << self.layout.segment_bits(chunk_id >> (64 - self.layout.layer_bits))) - 1
        low = np.searchsorted(self._inner_nodes, np.uint64(chunk_id & ~segment_mask), side="left")
        high = np.searchsorted(self._inner_nodes, np.uint64(chunk_id | segment_mask), side="right")
        return self._inner_nodes[low:high]

    def chunk_id(self, layer: int, coordinate: tuple[int, int, int]) -> int:
        """The id with segment 0 in a chunk of a layer."""
        return int(compose_ids(layer, np.array([coordinate]), np.zeros(1, dtype=np.uint64), self.layout)[0])

    def lvl2_edges(self, root: int) -> UInt64Array:
        """Edges between the L2 nodes of a root, each once, lower id first, sorted: uint64[n, 2]."""
        l2_ids = self.leaves(root, L2_LAYER)
        rows = [self.children(l2_id) for l2_id in l2_ids.tolist()]
        owners = np.repeat(l2_ids, [ids.size for ids in rows]).tolist()
        owner = dict(zip(chain.from_iterable(ids.tolist() for ids in rows), owners, strict=True))
        blocks = chain.from_iterable(self.cross_edges.get(l2_id, ()) for l2_id in l2_ids.tolist())
        crossing = chain.from_iterable(block.tolist() for block in blocks)
        pairs = {(min(owner[a], owner[b]), max(owner[a], owner[b])) for a, b in crossing if a in owner and b in owner}
        return np.array(sorted(pairs), dtype=np.uint64).reshape(-1, 2)

    def is_latest(self, roots: UInt64Array, time_ms: int | None = None) -> BoolArray:
        """Whether each root exists at a time and no newer root has taken its place: bool[n]."""
        answers = []
        for root in roots.tolist():
            row = self.rows.get(root)
            exists = row is not None and (time_ms is None or row.time_ms <= time_ms)
            successor = self.lineage.get(root, {}).get("new_parents")
            answers.append(exists and (successor is None or self._made_after(successor, time_ms)))
        return np.array(answers, dtype=bool)

    def _made_after(self, node_bytes: bytes, time_ms: int | None) -> bool:
        return time_ms is not None and self.rows[int(decode_ids(node_bytes)[0])].time_ms > time_ms
