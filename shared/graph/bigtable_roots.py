"""The L2 nodes of roots, read from a graph's own table: down the tree, all roots side by side, a layer at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from shared.geometry.ids import L2_LAYER, IdLayout, layers
from shared.graph.children import ChildrenCell
from shared.graph.leaves import batches
from shared.graph.protocol import RootNodes
from shared.graph.roots import NOT_KNOWN, judged_roots
from shared.types import UInt64Array

_NODES_PER_READ = 2_000
_CUT_OFF = "the graph's table lacks a node below this one"
_NO_TREE = "the graph's table gives a node below this one children of no lower layer"
_NO_IDS = np.empty(0, dtype=np.uint64)


def descend(root_ids: UInt64Array, layout: IdLayout, read: Callable[[list[int]], Iterable[ChildrenCell]]) -> RootNodes:
    """See `Graph.l2_ids_of_roots`.

    A branch may skip layers. What several roots share, as a neuron and those that it superseded do, is read once.

    Args:
      root_ids: uint64[n], in any order, duplicates allowed.
      layout: bit layout of the graph's ids.
      read: the `children` of some nodes, at most 2,000: of those that have a row.
    """
    errors: dict[int, str] = {}
    # What is still to be descended from, and what has been reached: uint64 arrays by root.
    frontier = {root: np.array([root], dtype=np.uint64) for root in np.unique(root_ids).tolist()}
    reached: dict[int, list[UInt64Array]] = {root: [] for root in frontier}
    while frontier:
        children = _children(np.unique(np.concatenate(list(frontier.values()))), read)
        below: dict[int, UInt64Array] = {}
        for root, nodes in frontier.items():
            try:
                found = _step(nodes, children, layout)
            except _BrokenTreeError as error:
                errors[root] = NOT_KNOWN if nodes[0] == np.uint64(root) and root not in children else str(error)
                continue
            is_inner = layers(found, layout) > L2_LAYER
            reached[root].append(found[~is_inner])
            if is_inner.any():
                below[root] = found[is_inner]
        frontier = below
    ends = {root: np.unique(np.concatenate([_NO_IDS, *parts])) for root, parts in reached.items() if root not in errors}
    return judged_roots(ends, errors, layout)


class _BrokenTreeError(Exception):
    """A node's descendants cannot be told; the message says why."""


def _children(nodes: UInt64Array, read: Callable[[list[int]], Iterable[ChildrenCell]]) -> dict[int, UInt64Array]:
    cells = (cell for part in batches(nodes, _NODES_PER_READ) for cell in read(part.tolist()))
    return {cell.l2_id: cell.supervoxels for cell in cells}


def _step(nodes: UInt64Array, children: dict[int, UInt64Array], layout: IdLayout) -> UInt64Array:
    """The children of some nodes: uint64[n].

    Raises:
      _BrokenTreeError: if a node has no row, or a child that is not below it: descending might never end.
    """
    lists = [children.get(node) for node in nodes.tolist()]
    there = [ids for ids in lists if ids is not None]
    if len(there) < len(lists):
        raise _BrokenTreeError(_CUT_OFF)
    found = np.concatenate([_NO_IDS, *there])
    parents = np.repeat(layers(nodes, layout), [ids.size for ids in there])
    if (layers(found, layout) >= parents).any():
        raise _BrokenTreeError(_NO_TREE)
    return found
