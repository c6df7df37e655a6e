"""A chunk of supervoxels in memory, and the labels made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.types import Triple, UInt64Array


@dataclass(frozen=True, eq=False)
class LoadedChunk:
    """The voxels of a chunk, its supervoxels numbered.

    Attributes:
      coordinate: of the chunk, in the chunk grid.
      numbers: unsigned integers [x, y, z]: for each voxel the place of its supervoxel in `supervoxels`.
      supervoxels: uint64[k + 1], distinct; the first one is 0, the background, even if there is none.
    """

    coordinate: Triple
    numbers: npt.NDArray[np.unsignedinteger[Any]]
    supervoxels: UInt64Array

    @classmethod
    def from_voxels(cls, coordinate: Triple, voxels: UInt64Array) -> LoadedChunk:
        """The chunk whose voxels are `voxels`, uint64[x, y, z] of supervoxel ids."""
        if not voxels.any():
            return cls(coordinate, np.zeros(voxels.shape, dtype=np.uint8, order="F"), np.zeros(1, dtype=np.uint64))
        import fastremap

        numbers, number_of = fastremap.renumber(voxels, preserve_zero=True)
        number_of.pop(0, None)
        supervoxels = np.zeros(len(number_of) + 1, dtype=np.uint64)
        places = np.fromiter(number_of.values(), dtype=np.int64, count=len(number_of))
        supervoxels[places] = np.fromiter(number_of.keys(), dtype=np.uint64, count=len(number_of))
        return cls(coordinate, numbers, supervoxels)

    @property
    def is_empty(self) -> bool:
        """Whether no voxel belongs to a supervoxel."""
        return len(self.supervoxels) == 1

    def labels(self, nodes: UInt64Array) -> UInt64Array:
        """Each voxel's node: uint64[x, y, z].

        Args:
          nodes: uint64[k + 1], the node of each of `supervoxels`, 0 for none.
        """
        return np.asarray(nodes[self.numbers], dtype=np.uint64)

    def nodes_of(self, members: dict[int, UInt64Array]) -> UInt64Array:
        """The node of each of `supervoxels`, for nodes that share none: uint64[k + 1], 0 for none.

        Args:
          members: supervoxels by node id.
        """
        nodes = np.zeros(len(self.supervoxels), dtype=np.uint64)
        if not members:
            return nodes
        claimed = np.concatenate(list(members.values()))
        claimants = np.repeat(np.array(list(members), dtype=np.uint64), [len(part) for part in members.values()])
        order = np.argsort(claimed)
        claimed, claimants = claimed[order], claimants[order]
        places = np.searchsorted(claimed, self.supervoxels)
        found = places < len(claimed)
        found[found] = claimed[places[found]] == self.supervoxels[found]
        nodes[found] = claimants[places[found]]
        nodes[0] = 0
        return nodes


def disjoint_passes(members: dict[int, UInt64Array]) -> Sequence[dict[int, UInt64Array]]:
    """Nodes in groups within which no two share a supervoxel, as few groups as a greedy choice makes.

    Nodes of one message overlap when one superseded the other; their voxels then cannot be in one label array.

    Args:
      members: supervoxels by node id, distinct within each node.

    Returns:
      The groups; every node is in exactly one. A single group when nothing overlaps.
    """
    everything = np.concatenate([np.empty(0, dtype=np.uint64), *members.values()])
    if len(np.unique(everything)) == len(everything):
        return [members] if members else []
    passes: list[dict[int, UInt64Array]] = []
    taken: list[set[int]] = []
    for l2_id, supervoxels in members.items():
        own = set(supervoxels.tolist())
        place = next((i for i, others in enumerate(taken) if own.isdisjoint(others)), len(passes))
        if place == len(passes):
            passes.append({})
            taken.append(set())
        passes[place][l2_id] = supervoxels
        taken[place] |= own
    return passes
