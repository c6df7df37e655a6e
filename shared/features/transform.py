"""The distance transform of a chunk of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.features.distance import LONGEST_COLUMN, LONGEST_SEARCH
from shared.features.lanes import LANES
from shared.features.passes import measure_planes, store_planes, transform_planes
from shared.features.runs import LabelRuns, in_ranges


@dataclass(frozen=True, eq=False)
class Chunk:
    """Runs as the kernels take them.

    Attributes:
      labels: the runs.
      shape: int64[3].
      resolution_nm: float64[3], along the axes of the runs.
      threads: how many threads to use.
    """

    labels: LabelRuns
    shape: npt.NDArray[np.int64]
    resolution_nm: npt.NDArray[np.float64]
    threads: int

    @classmethod
    def of(cls, runs: LabelRuns, resolution_nm: npt.NDArray[np.float64], threads: int) -> Chunk:
        """Runs, and the resolution along the axes of the volume they come from."""
        return cls(runs, np.array(runs.shape, np.int64), resolution_nm[list(runs.axes)], threads)

    @property
    def runs(self) -> tuple[npt.NDArray[Any], ...]:
        """Ranges, run_end, run_label."""
        return self.labels.ranges, self.labels.run_end, self.labels.run_label

    def by_z(self, task: Callable[[int, int], Any]) -> list[Any]:
        """Results of task(z_from, z_to) for a range of z per thread."""
        return in_ranges(task, int(self.shape[2]), self.threads)

    def by_y(self, task: Callable[[int, int], Any]) -> list[Any]:
        """Results of task(y_from, y_to) for a range of y per thread."""
        return in_ranges(task, int(self.shape[1]), self.threads)


def plane_measurer(chunk: Chunk) -> Callable[..., None]:
    """What measures the distances in the planes y_from <= y < y_to: called with those, place, sums, best."""
    volume = _along_x_and_y(chunk)
    weight = _weights(chunk)[2]

    def measure(y_from: int, y_to: int, *into: Any) -> None:
        measure_planes(chunk.runs, chunk.shape, y_from, y_to, weight, volume, _scratch(chunk.shape, 2), *into)

    return measure


def whole_distances(chunk: Chunk) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """All distances in whole nm, int32; that of voxel (x, y, z) at x + strides[0] * y + strides[1] * z."""
    width, _, depth = chunk.shape
    volume = _along_x_and_y(chunk)
    weight, whole = _weights(chunk)[2], volume.view(np.int32)
    chunk.by_y(
        lambda y_from, y_to: store_planes(
            chunk.runs, chunk.shape, y_from, y_to, weight, volume, _scratch(chunk.shape, 2), whole
        )
    )
    return whole, np.array([depth * width, width])


def _along_x_and_y(chunk: Chunk) -> npt.NDArray[np.float32]:
    """float32[ny * nz * nx] in order [y][z][x]: squared distances in nm2 within planes of z.

    Along x the wheel adds up voxel sizes before it squares.
    """
    size = np.full(int(chunk.shape[0]) + 1, chunk.resolution_nm[0], np.float32)
    size[0] = 0
    squares = np.cumsum(size, dtype=np.float32) ** 2
    weight = _weights(chunk)[1]
    volume = np.empty(int(np.prod(chunk.shape)), np.float32)
    chunk.by_z(
        lambda z_from, z_to: transform_planes(
            chunk.runs, chunk.shape, z_from, z_to, squares, weight, volume, _scratch(chunk.shape, 1)
        )
    )
    return volume


def _weights(chunk: Chunk) -> npt.NDArray[np.float32]:
    """Squared voxel size, float32[3], with the wheel's rounding."""
    return chunk.resolution_nm.astype(np.float32) ** 2


def _scratch(shape: npt.NDArray[np.int64], axis: int) -> tuple[Any, ...]:
    """What the transform of a plane of x and `axis` works in."""
    rows, voxels = int(shape[axis]), int(shape[axis] * shape[0])
    tile_rows = min(rows, LONGEST_COLUMN)
    tile = (
        np.empty(tile_rows * LANES, np.int32),
        np.full((tile_rows + 2 * LONGEST_SEARCH) * LANES, np.inf, np.float32),
        np.empty(tile_rows * LANES, np.float32),
        np.empty(tile_rows * LANES, np.float32),
        np.empty((2, tile_rows // 64 + 1), np.uint64),
        np.empty((3, rows + 2)),
    )
    return np.empty(voxels, np.int32), np.empty(voxels, np.float32), tile
