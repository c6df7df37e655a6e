"""The distance transform of a chunk of runs: our own kernels, or the `edt` wheel where those do not reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.features.lanes import LANES
from shared.features.passes import measure_given, measure_planes, store_planes, transform_planes
from shared.features.runs import LabelRuns, in_ranges

LARGEST_SQUARE = 10**9  # of a chunk's diagonal in the transform's unit, so that no intermediate result leaves int32


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


@dataclass(frozen=True, eq=False)
class _Begun:
    """A transform that has gone along x and y.

    Attributes:
      volume: int32[ny * nz * nx] in order [y][z][x], squares in units of step ** 2 nm2.
      weights: int64[3], squared voxel size in those.
      step: a power of two, in nm.
    """

    volume: npt.NDArray[np.int32]
    weights: npt.NDArray[np.int64]
    step: int


def plane_measurer(chunk: Chunk) -> Callable[..., None]:
    """What measures the distances in the planes y_from <= y < y_to: called with those, place, sums, best."""
    begun = _begun(chunk)
    if begun is None:
        given = _wheel_distances(chunk).ravel(order="F")

        def measure_wheel(y_from: int, y_to: int, *into: Any) -> None:
            measure_given(chunk.runs, chunk.shape, y_from, y_to, given, np.empty(chunk.shape[0], np.int32), *into)

        return measure_wheel

    def measure(y_from: int, y_to: int, *into: Any) -> None:
        scratch = _scratch(chunk.shape, 2)
        measure_planes(
            chunk.runs, chunk.shape, y_from, y_to, begun.weights[2], begun.step**2, begun.volume, scratch, *into
        )  # fmt: skip

    return measure


def whole_distances(chunk: Chunk) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """All distances in whole nm, int32; that of voxel (x, y, z) at x + strides[0] * y + strides[1] * z."""
    width, height, depth = chunk.shape
    begun = _begun(chunk)
    if begun is None:
        whole = _wheel_distances(chunk).ravel(order="F").astype(np.int32)
        return whole, np.array([width, width * height])
    chunk.by_y(
        lambda y_from, y_to: store_planes(
            chunk.runs, chunk.shape, y_from, y_to, begun.weights[2], begun.step**2, begun.volume,
            _scratch(chunk.shape, 2),
        )
    )  # fmt: skip
    return begun.volume, np.array([depth * width, width])


def _begun(chunk: Chunk) -> _Begun | None:
    """Our own transform along x and y; None if it cannot be done in int32.

    It counts in the largest power of two that divides the voxel size, by which rounding to float32 scales exactly.
    """
    size = chunk.resolution_nm.astype(np.int64)
    step = int(np.bitwise_or.reduce(size))
    step &= -step
    if np.any(chunk.resolution_nm != size) or np.sum((chunk.resolution_nm * chunk.shape / step) ** 2) > LARGEST_SQUARE:
        return None
    weights = (size // step) ** 2
    volume = np.empty(int(np.prod(chunk.shape)), np.int32)
    chunk.by_z(
        lambda z_from, z_to: transform_planes(
            chunk.runs, chunk.shape, z_from, z_to, weights, volume, _scratch(chunk.shape, 1)
        )
    )
    return _Begun(volume, weights, step)


def _wheel_distances(chunk: Chunk) -> npt.NDArray[np.float32]:
    import edt

    labels = chunk.labels.dense()
    resolution_nm = tuple(chunk.resolution_nm)
    return np.asarray(edt.edt(labels, anisotropy=resolution_nm, black_border=False, parallel=chunk.threads))


def _scratch(shape: npt.NDArray[np.int64], axis: int) -> tuple[npt.NDArray[Any], ...]:
    """What the transform of a plane of x and `axis` works in."""
    rows = int(shape[axis])
    planes = np.empty((2, rows * int(shape[0])), np.int32)
    return planes, np.empty((3, rows * LANES), np.int32), np.empty((3, rows + 2))
