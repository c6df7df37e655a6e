"""New nodes of all layers above changed L2 nodes, as an edit makes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.components import component_labels, places
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
from shared.geometry.ids import L2_LAYER, layers, node_coordinates, segments
from shared.types import Triple, UInt64Array


class Rebuild:
    """The nodes that one edit makes, and the cells that record them. The graph itself stays as it is."""

    def __init__(self, graph: ChunkedGraph, time_ms: int) -> None:
        self.cells: list[Cell] = []
        self._graph = graph
        self._time_us = time_ms * 1000
        self._made: dict[int, int] = {}
        self._supervoxels: dict[int, UInt64Array] = {}

    def add_l2(self, coordinate: Triple, supervoxels: UInt64Array, cross_edges: UInt64Array) -> int:
        """Makes an L2 node in a chunk of these supervoxels; `cross_edges`: uint64[n, 2], its own supervoxel first."""
        node = self._new_node(L2_LAYER, coordinate, supervoxels)
        self._supervoxels[node] = supervoxels
        edge_layers = cross_layers(cross_edges, self._graph.layout)
        for layer in np.unique(edge_layers).tolist():
            value = encode_ids(cross_edges[edge_layers == layer])
            self.add_cell(node, f"{CROSS_EDGE_PREFIX}{layer}", value, CROSS_EDGE_FAMILY)
        return node

    def climb(self, fresh: Sequence[int], replaced: UInt64Array, edges: UInt64Array | None) -> list[int]:
        """Makes the nodes above, layer by layer.

        Args:
          fresh: the new L2 nodes.
          replaced: uint64[n], the L2 nodes they take the place of.
          edges: uint64[m, 2], the edges that hold the supervoxels together; None if all nodes of a chunk that have been
            or come together belong together, as in a merge.

        Returns:
          The new roots.
        """
        stale = self._stale_above(replaced)
        gone = set(replaced.tolist()).union(*stale.values())
        below = list(fresh)
        for layer in range(L2_LAYER + 1, self._graph.root_layer + 1):
            siblings = [c for node in stale[layer] for c in self._graph.children(node).tolist() if c not in gone]
            below = [
                self._new_node(layer, coordinate, np.array(members, dtype=np.uint64))
                for coordinate, chunk_members in self._by_chunk(below + siblings, layer).items()
                for members in self._together(chunk_members, edges)
            ]
        return below

    def add_cell(self, node: int, qualifier: str, value: bytes, family: str = TREE_FAMILY) -> None:
        """Records one cell of the edit."""
        self.cells.append(Cell(row_key(node), family, qualifier, self._time_us, value))

    def _new_node(self, layer: int, coordinate: Triple, children: UInt64Array) -> int:
        chunk_id = self._graph.chunk_id(layer, coordinate)
        if chunk_id not in self._made:
            known = segments(self._graph.chunk_nodes(chunk_id), layer, self._graph.layout)
            self._made[chunk_id] = int(known.max(initial=0))
        self._made[chunk_id] += 1
        node = chunk_id + self._made[chunk_id]
        self.add_cell(node, "children", encode_ids(children))
        for child in children.tolist():
            self.add_cell(child, "parents", encode_id(node))
        if layer > L2_LAYER:
            self._supervoxels[node] = np.concatenate([self._leaves(child) for child in children.tolist()])
        return node

    def _leaves(self, node: int) -> UInt64Array:
        if node not in self._supervoxels:
            self._supervoxels[node] = self._graph.leaves(node)
        return self._supervoxels[node]

    def _stale_above(self, nodes: UInt64Array) -> dict[int, list[int]]:
        stale: dict[int, list[int]] = defaultdict(list)
        seen: set[int] = set()
        while nodes.size:
            nodes = np.unique(self._graph.parents(nodes))
            nodes = nodes[nodes > 0]
            for layer, node in zip(layers(nodes, self._graph.layout).tolist(), nodes.tolist(), strict=True):
                if node not in seen:
                    seen.add(node)
                    stale[layer].append(node)
        return stale

    def _by_chunk(self, nodes: Sequence[int], layer: int) -> dict[Triple, list[int]]:
        groups: dict[Triple, list[int]] = defaultdict(list)
        for node in nodes:
            own_layer = node >> (64 - self._graph.layout.layer_bits)
            coordinate = node_coordinates(np.array([node], dtype=np.uint64), own_layer, self._graph.layout)[0]
            x, y, z = (coordinate >> (layer - own_layer)).tolist()
            groups[x, y, z].append(node)
        return groups

    def _together(self, nodes: list[int], edges: UInt64Array | None) -> list[list[int]]:
        """The nodes of one chunk in groups that hang together."""
        if edges is None or len(nodes) == 1:
            return [nodes]
        supervoxels = [self._leaves(node) for node in nodes]
        owners = np.repeat(np.arange(len(nodes)), [ids.size for ids in supervoxels])
        place, known = places(np.concatenate(supervoxels), edges)
        labels = component_labels(len(nodes), owners[place[known.all(axis=1)]])
        groups: list[list[int]] = [[] for _ in range(int(labels.max()) + 1)]
        for node, label in zip(nodes, labels.tolist(), strict=True):
            groups[label].append(node)
        return groups
