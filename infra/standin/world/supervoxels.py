"""Supervoxels: the connected parts of each neurite's piece in each chunk, and where they touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
import numpy.typing as npt

from infra.standin.world.tubes import PieceVolume
from shared.geometry.ids import IdLayout, compose_ids
from shared.types import Int64Array, Triple, UInt64Array

FACES: Final = 6


@dataclass(frozen=True)
class Supervoxels:
    """The supervoxels of a world, ascending by id.

    Attributes:
      ids: uint64[n].
      chunks: int64[n, 3], chunk coordinates.
      neurons: int64[n], which neuron each is a part of.
      touching: int64[m, 2], places in these arrays of supervoxels that share a face of a voxel; lower first, sorted.
      faces: int64[m], how many faces they share.
    """

    ids: UInt64Array
    chunks: Int64Array
    neurons: Int64Array
    touching: Int64Array
    faces: Int64Array

    @property
    def edges(self) -> Int64Array:
        """The touching pairs of one neuron: int64[m, 2]."""
        same = self.neurons[self.touching[:, 0]] == self.neurons[self.touching[:, 1]]
        return np.asarray(self.touching[same])


def cut(
    pieces: PieceVolume, neurons: Int64Array, chunk_size_voxels: Triple, layout: IdLayout
) -> tuple[UInt64Array, Supervoxels]:
    """Cuts a volume of pieces into supervoxels.

    Args:
      pieces: uint32[x, y, z], numbers of pieces from 1; 0 is background.
      neurons: int64[n], the neuron of each piece.
      chunk_size_voxels: supervoxels end at chunk borders.
      layout: bit layout of ids.

    Returns:
      The volume of supervoxels, uint64[x, y, z], and what is known of them.
    """
    chunk_numbers, grid = _chunk_numbers(pieces.shape, chunk_size_voxels)
    chunks_total = np.uint32(np.prod(grid))
    keys = np.where(pieces > 0, pieces * chunks_total + chunk_numbers, np.uint32(0))
    parts, count = cc3d.connected_components(keys, connectivity=FACES, return_N=True)
    piece_of, chunk_of = (np.zeros(count + 1, dtype=np.int64) for _ in range(2))
    # Voxels of one part agree on both, so that it does not matter which of them writes last.
    piece_of[parts.ravel()] = pieces.ravel()
    chunk_of[parts.ravel()] = np.broadcast_to(chunk_numbers, parts.shape).ravel()
    order = np.lexsort((np.arange(1, count + 1), chunk_of[1:])) + 1
    chunks = np.stack(np.unravel_index(chunk_of[order], grid), axis=1).astype(np.int64)
    ids = compose_ids(1, chunks, _ranks(chunk_of[order]), layout)
    rank = np.zeros(count + 1, dtype=np.int64)
    rank[order] = np.arange(count)
    touching, faces = _contacts(parts, rank)
    id_of_part = np.zeros(count + 1, dtype=np.uint64)
    id_of_part[order] = ids
    known = Supervoxels(ids, chunks, neurons[piece_of[order] - 1], touching, faces)
    return id_of_part[parts], known


def _chunk_numbers(shape: tuple[int, ...], chunk_size_voxels: Triple) -> tuple[npt.NDArray[np.uint32], Triple]:
    """Number of the chunk that each voxel lies in, uint32[x, y, z], and the grid's shape."""
    axes = [np.arange(size) // chunk for size, chunk in zip(shape, chunk_size_voxels, strict=True)]
    x, y, z = (int(axis[-1]) + 1 for axis in axes)
    numbers = np.ravel_multi_index(tuple(np.meshgrid(*axes, indexing="ij", sparse=True)), (x, y, z))
    return np.asarray(numbers, dtype=np.uint32), (x, y, z)


def _ranks(sorted_groups: Int64Array) -> UInt64Array:
    """Number of each element within its group, from 1."""
    _, starts, counts = np.unique(sorted_groups, return_index=True, return_counts=True)
    return (np.arange(sorted_groups.size) - np.repeat(starts, counts) + 1).astype(np.uint64)


def _contacts(parts: npt.NDArray[np.unsignedinteger], rank: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Ranks of parts that share faces, int64[m, 2], lower first, sorted; and how many faces each pair shares."""
    codes = []
    total = np.int64(rank.size)
    for axis in range(3):
        one = parts[tuple(slice(None, -1) if i == axis else slice(None) for i in range(3))]
        other = parts[tuple(slice(1, None) if i == axis else slice(None) for i in range(3))]
        border = (one != other) & (one != 0) & (other != 0)
        low, high = np.sort(np.stack([rank[one[border]], rank[other[border]]]), axis=0)
        codes.append(low * total + high)
    pairs, faces = np.unique(np.concatenate(codes), return_counts=True)
    return np.stack([pairs // total, pairs % total], axis=1), faces.astype(np.int64)
