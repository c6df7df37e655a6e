"""Where chunks lie: the chunk grid of a graph, its boxes in voxels, and which ids can exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm, prod
from typing import Any

import numpy as np

from shared.errors import ConfigurationError, OutsideVolumeError
from shared.geometry.ids import L2_LAYER, IdLayout, chunk_coordinates, is_l2, node_coordinates
from shared.geometry.precomputed import file_size_voxels
from shared.types import BoolArray, Int64Array, Triple, UInt64Array


@dataclass(frozen=True)
class Box:
    """A half-open box `[start, stop)` of whole numbers along x, y, z: of voxels, or of chunk coordinates.

    Attributes:
      start: the first cell along x, y, z.
      stop: the cell after the last.

    >>> chunks = Box((0, 0, 0), (4, 4, 2))
    >>> chunks.shape, chunks.volume
    ((4, 4, 2), 32)
    >>> chunks.intersection(Box((3, 1, 1), (9, 2, 9)))
    Box(start=(3, 1, 1), stop=(4, 2, 2))
    >>> chunks.intersection(Box((8, 0, 0), (9, 1, 1))).volume
    0
    """

    start: Triple
    stop: Triple

    @property
    def shape(self) -> Triple:
        """Extent along x, y, z; never negative."""
        (x0, y0, z0), (x1, y1, z1) = self.start, self.stop
        return max(0, x1 - x0), max(0, y1 - y0), max(0, z1 - z0)

    @property
    def volume(self) -> int:
        """Number of cells in the box."""
        x, y, z = self.shape
        return x * y * z

    def intersection(self, other: Box) -> Box:
        """The part of this box that lies in `other`; its volume is 0 where they do not meet."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(min(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Box(as_triple(start), as_triple(stop))


@dataclass(frozen=True)
class GraphGeometry:
    """A graph's id layout and the place of its chunks in the segmentation, at the graph's own mip.

    Attributes:
      layout: bit layout of node ids.
      chunk_size_voxels: full size of a chunk.
      voxel_offset: the volume's first voxel; the chunk grid starts there.
      volume_size_voxels: the volume's extent.
      resolution_nm: size of a voxel.
      mip: scale of `data_dir` that the graph was made from.
      data_dir: address of the precomputed volume of supervoxels.
      file_size_voxels: extent of what one file of that volume holds; the files' grid starts where the chunks' does.
    """

    layout: IdLayout
    chunk_size_voxels: Triple
    voxel_offset: Triple
    volume_size_voxels: Triple
    resolution_nm: tuple[float, float, float]
    mip: int
    data_dir: str
    file_size_voxels: Triple = (1, 1, 1)

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> GraphGeometry:
        """The geometry that a graph server's `info` describes.

        Raises:
          ConfigurationError: if a needed field is missing or impossible; the message names it.
        """
        layout = IdLayout.from_info(info)
        try:
            mip = int(info["graph"].get("cv_mip", 0))
            scale = info["scales"][mip]
            geometry = cls(
                layout=layout,
                chunk_size_voxels=as_triple(info["graph"]["chunk_size"]),
                voxel_offset=as_triple(scale.get("voxel_offset", (0, 0, 0))),
                volume_size_voxels=as_triple(scale["size"]),
                resolution_nm=_resolution(scale["resolution"]),
                mip=mip,
                data_dir=str(info["data_dir"]),
                file_size_voxels=file_size_voxels(scale) if "chunk_sizes" in scale else (1, 1, 1),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the graph's info lacks a usable field: {error!r}") from error
        sizes = geometry.chunk_size_voxels + geometry.volume_size_voxels + geometry.file_size_voxels
        if min(*sizes, *geometry.resolution_nm) <= 0:
            raise ConfigurationError("chunk sizes, size and resolution in the graph's info must be positive")
        return geometry

    @property
    def voxel_nm3(self) -> float:
        """Volume of a voxel."""
        return prod(self.resolution_nm)

    @property
    def grid_shape(self) -> Triple:
        """Number of chunks along x, y, z: `ceil(volume size / chunk size)`."""
        return as_triple(
            -(-size // chunk) for size, chunk in zip(self.volume_size_voxels, self.chunk_size_voxels, strict=True)
        )

    @property
    def chunks_per_file(self) -> Triple:
        """Along each axis, after how many chunks a border between chunks is one between files again."""
        return as_triple(
            lcm(file, chunk) // chunk for file, chunk in zip(self.file_size_voxels, self.chunk_size_voxels, strict=True)
        )

    @property
    def volume_box(self) -> Box:
        """The whole volume, in voxels."""
        stop = (start + size for start, size in zip(self.voxel_offset, self.volume_size_voxels, strict=True))
        return Box(self.voxel_offset, as_triple(stop))

    def chunk_box(self, coordinate: Triple) -> Box:
        """The full-size box of a chunk, in voxels; it may reach beyond the volume's far end.

        Raises:
          OutsideVolumeError: if the grid has no such chunk.
        """
        if not all(0 <= c < n for c, n in zip(coordinate, self.grid_shape, strict=True)):
            raise OutsideVolumeError(f"chunk {coordinate} lies outside the grid of {self.grid_shape} chunks")
        start = as_triple(
            offset + c * size
            for offset, c, size in zip(self.voxel_offset, coordinate, self.chunk_size_voxels, strict=True)
        )
        return Box(start, as_triple(s + size for s, size in zip(start, self.chunk_size_voxels, strict=True)))

    def chunks_of_box(self, box_voxels: Box) -> Box:
        """The chunks that share a voxel with `box_voxels`, as a box of chunk coordinates inside the grid."""
        inside = box_voxels.intersection(self.volume_box)
        if inside.volume == 0:
            return Box((0, 0, 0), (0, 0, 0))
        axes = list(zip(inside.start, inside.stop, self.voxel_offset, self.chunk_size_voxels, strict=True))
        start = as_triple((low - offset) // size for low, _, offset, size in axes)
        return Box(start, as_triple(-(-(high - offset) // size) for _, high, offset, size in axes))

    def can_exist(self, node_ids: UInt64Array) -> BoolArray:
        """Whether each id is of layer 2 and its chunk lies in the grid: bool[n]. Asks nobody."""
        possible = is_l2(node_ids, self.layout)
        coordinates = node_coordinates(node_ids[possible], L2_LAYER, self.layout)
        possible[possible] = (coordinates < np.array(self.grid_shape)).all(axis=1)
        return possible

    def group_by_chunk(self, l2_ids: UInt64Array) -> list[tuple[Triple, UInt64Array]]:
        """Distinct L2 ids by chunk, so that each chunk is read once.

        Args:
          l2_ids: uint64[n], every one of them able to exist (`can_exist`).

        Returns:
          Pairs (chunk coordinate, its ids ascending), in ascending order of ids.
        """
        distinct = np.unique(l2_ids)
        if not distinct.size:
            return []
        coordinates = chunk_coordinates(distinct, self.layout)
        # The x, y, z bits stand above the segment bits, so that ids sorted by value are sorted by chunk.
        starts = np.flatnonzero((np.diff(coordinates, axis=0) != 0).any(axis=1)) + 1
        groups = np.split(distinct, starts)
        return [(as_triple(coordinates[i]), ids) for i, ids in zip((0, *starts.tolist()), groups, strict=True)]

    def voxel_positions(self, l2_ids: UInt64Array, offsets_voxels: Int64Array) -> Int64Array:
        """Positions in the volume of voxels given by their offset inside their node's chunk: int64[n, 3], voxels."""
        chunks = chunk_coordinates(l2_ids, self.layout)
        starts = chunks * np.array(self.chunk_size_voxels) + np.array(self.voxel_offset)
        return np.asarray(offsets_voxels + starts, dtype=np.int64)


def as_triple(values: Any) -> Triple:
    """Three whole numbers out of any sequence of three."""
    x, y, z = (int(value) for value in values)
    return x, y, z


def _resolution(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
