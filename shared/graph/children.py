"""The `children` column of a graph's table: what L2 nodes claim, and who of several claimants holds a supervoxel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared.types import UInt64Array

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LITTLE_ENDIAN = np.dtype("<u8")


class ChildrenCell(NamedTuple):
    """The newest `children` cell of an L2 node: its id, when it was written, and its supervoxels (uint64[n])."""

    l2_id: int
    timestamp_us: int
    supervoxels: UInt64Array


def decode_children(value: bytes) -> UInt64Array:
    """The ids in a cell's value, which may be compressed with zstd: uint64[n].

    Raises:
      ValueError: if it is no array of ids.
    """
    if value.startswith(ZSTD_MAGIC):
        import zstandard

        try:
            # Unlike `decompress`, this also takes a frame that does not say its length.
            frame = zstandard.ZstdDecompressor().decompressobj()
            value = frame.decompress(value)
        except zstandard.ZstdError as error:
            raise ValueError("children that cannot be decompressed") from error
        if not frame.eof:
            raise ValueError("children that are cut off")
    return np.frombuffer(value, dtype=_LITTLE_ENDIAN).astype(np.uint64)


@dataclass(frozen=True)
class SupervoxelOwners:
    """Which L2 node holds each supervoxel.

    Attributes:
      supervoxels: uint64[n], distinct, ascending.
      l2_ids: uint64[n].
    """

    supervoxels: UInt64Array
    l2_ids: UInt64Array

    @classmethod
    def of(cls, cells: Iterable[ChildrenCell]) -> SupervoxelOwners:
        """Gives each supervoxel to the newest of the nodes that claim it; of those made at once, to the highest id."""
        newest_first = sorted(cells, key=lambda cell: (cell.timestamp_us, cell.l2_id), reverse=True)
        none = np.empty(0, dtype=np.uint64)
        claimed = np.concatenate([none, *(cell.supervoxels for cell in newest_first)])
        claimants = np.array([cell.l2_id for cell in newest_first], dtype=np.uint64)
        owners = np.repeat(claimants, [cell.supervoxels.size for cell in newest_first])
        # Of equal supervoxels `unique` finds the first: the newest claim.
        distinct, newest = np.unique(claimed, return_index=True)
        return cls(distinct, owners[newest])

    @classmethod
    def of_pairs(cls, l2_ids: UInt64Array, supervoxels: UInt64Array) -> SupervoxelOwners:
        """Gives each supervoxel to the highest of the nodes that claim it.

        Args:
          l2_ids: uint64[k], any order; a node stands there once for each supervoxel that it claims.
          supervoxels: uint64[k], what they claim.
        """
        order = np.argsort(supervoxels)
        claimed = supervoxels[order]
        is_last = np.ones(claimed.size, dtype=np.bool_)
        is_last[:-1] = claimed[1:] != claimed[:-1]
        if is_last.all():  # most chunks have no edit: nobody claims what another node does
            return cls(claimed, l2_ids[order])
        owners = l2_ids[np.lexsort((l2_ids, supervoxels))]
        return cls(claimed[is_last], owners[is_last])

    @property
    def nodes(self) -> UInt64Array:
        """The nodes that hold a supervoxel: uint64[m], ascending."""
        return np.unique(self.l2_ids)

    def at(self, supervoxels: UInt64Array) -> UInt64Array:
        """The holder of each supervoxel: uint64[n], 0 where there is none."""
        if not self.supervoxels.size:
            return np.zeros(supervoxels.size, dtype=np.uint64)
        place = np.minimum(np.searchsorted(self.supervoxels, supervoxels), self.supervoxels.size - 1)
        return np.where(self.supervoxels[place] == supervoxels, self.l2_ids[place], np.uint64(0))
