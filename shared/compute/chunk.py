"""A chunk of supervoxels in memory, and which of them make up which node."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shared.types import Triple, UInt64Array

if TYPE_CHECKING:
    from shared.features.runs import LabelRuns


@dataclass(frozen=True, eq=False)
class LoadedChunk:
    """The supervoxels of a chunk, in far less memory than their voxels.

    Attributes:
      coordinate: of the chunk, in the chunk grid.
      runs: where the supervoxels are.
      supervoxels: uint64[k], ascending and distinct, without 0.
    """

    coordinate: Triple
    runs: LabelRuns
    supervoxels: UInt64Array

    @classmethod
    def from_runs(cls, coordinate: Triple, runs: LabelRuns) -> LoadedChunk:
        """The chunk whose supervoxels have these runs."""
        return cls(coordinate, runs, runs.labels())

    @property
    def is_empty(self) -> bool:
        """Whether no voxel belongs to a supervoxel."""
        return not len(self.supervoxels)


class FilledChunks:
    """Chunks that are known to have supervoxels, which never changes. May be used by many threads.

    Args:
      capacity: so many are remembered; the one that was of no use for longest is forgotten first.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._chunks: OrderedDict[tuple[str, Triple], None] = OrderedDict()

    def add(self, graph_id: str, coordinate: Triple) -> None:
        """Remembers a chunk."""
        with self._lock:
            self._chunks[graph_id, coordinate] = None
            self._chunks.move_to_end((graph_id, coordinate))
            if len(self._chunks) > self._capacity:
                self._chunks.popitem(last=False)

    def has(self, graph_id: str, coordinate: Triple) -> bool:
        """Whether a chunk is known to have supervoxels; False says nothing of it."""
        with self._lock:
            known = (graph_id, coordinate) in self._chunks
            if known:
                self._chunks.move_to_end((graph_id, coordinate))
            return known


@dataclass(frozen=True, eq=False)
class MappedChunk:
    """Which nodes a chunk's supervoxels belong to.

    Attributes:
      nodes: uint64[k], of each of the chunk's supervoxels its node, which is of the chunk; 0 where there is none.
      n_foreign: how many of the zeros stand where the graph gives a supervoxel to another chunk.
    """

    nodes: UInt64Array
    n_foreign: int = 0


@dataclass(frozen=True, eq=False)
class Membership:
    """Which node each supervoxel belongs to.

    Attributes:
      supervoxels: uint64[n], ascending and distinct.
      nodes: uint64[n], the node of each.
    """

    supervoxels: UInt64Array
    nodes: UInt64Array


def disjoint_memberships(supervoxels_of: Mapping[int, UInt64Array]) -> Sequence[Membership]:
    """Nodes in groups within which no two share a supervoxel, as few groups as a greedy choice makes.

    Nodes of one message overlap when one superseded the other; their voxels then cannot be labelled at the same time.

    Args:
      supervoxels_of: supervoxels by node id, distinct within each node.

    Returns:
      The groups; every node is in exactly one. A single group when nothing overlaps, none without nodes.
    """
    if not supervoxels_of:
        return []
    whole = _membership(supervoxels_of)
    if (whole.supervoxels[1:] != whole.supervoxels[:-1]).all():
        return [whole]
    groups: list[dict[int, UInt64Array]] = []
    taken: list[set[int]] = []
    for l2_id, supervoxels in supervoxels_of.items():
        own = set(supervoxels.tolist())
        place = next((i for i, others in enumerate(taken) if own.isdisjoint(others)), len(groups))
        if place == len(groups):
            groups.append({})
            taken.append(set())
        groups[place][l2_id] = supervoxels
        taken[place] |= own
    return [_membership(group) for group in groups]


def _membership(supervoxels_of: Mapping[int, UInt64Array]) -> Membership:
    supervoxels = np.concatenate(list(supervoxels_of.values()))
    counts = [len(part) for part in supervoxels_of.values()]
    nodes = np.repeat(np.array(list(supervoxels_of), dtype=np.uint64), counts)
    order = np.argsort(supervoxels, kind="stable")
    return Membership(supervoxels[order], nodes[order])
