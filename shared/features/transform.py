"""The distance transform of a chunk of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shared.features.distance import LONGEST_COLUMN, LONGEST_SEARCH
from shared.features.lanes import LANES
from shared.features.passes import store_slabs
from shared.features.runs import LabelRuns
from shared.features.slab import BLOCK_STRIDE, slab_stride
from shared.features.threads import Ranges, in_turns

T = TypeVar("T")


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

    def by_z(self, task: Callable[[Ranges], T]) -> list[T]:
        """Results of `task` for ranges of z, in each thread."""
        return in_turns(task, int(self.shape[2]), self.threads)

    def by_slab(self, task: Callable[[Ranges], T]) -> list[T]:
        """Results of `task` for ranges of slabs of LANES voxels along x, in each thread."""
        return in_turns(task, -(-int(self.shape[0]) // LANES), self.threads)


def in_slabs(kernel: Callable[..., None], chunk: Chunk, slabs: Ranges, *into: Any) -> None:
    """Has a kernel that is made like `measure_slabs` go through ascending ranges of slabs, in one scratch.

    Args:
      kernel: `measure_slabs` or `store_slabs`.
      chunk: the runs.
      slabs: the ranges.
      into: the kernel's last arguments.
    """
    weights, scratch = _weights(chunk), _scratch(chunk)
    for from_slab, to_slab in slabs:
        kernel(chunk.runs, chunk.shape, from_slab, to_slab, weights, scratch, *into)


def whole_distances(chunk: Chunk) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """All distances in whole nm, int32; that of voxel (x, y, z) at x + strides[0] * y + strides[1] * z.

    Where there is no label they are not set.
    """
    width, _, depth = chunk.shape
    whole = np.empty(int(np.prod(chunk.shape)), np.int32)
    chunk.by_slab(lambda slabs: in_slabs(store_slabs, chunk, slabs, whole))
    return whole, np.array([depth * width, width])


def _weights(chunk: Chunk) -> npt.NDArray[np.float32]:
    """Squared voxel size, float32[3], with the wheel's rounding."""
    return chunk.resolution_nm.astype(np.float32) ** 2


def _squares(chunk: Chunk) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Squared distances along x by steps, as `write_plane` takes them; the wheel adds up voxel sizes, then squares."""
    width = int(chunk.shape[0])
    size = np.full(width + 1, chunk.resolution_nm[0], np.float32)
    size[0] = 0
    squares = np.cumsum(size, dtype=np.float32) ** 2
    rising, falling = np.zeros((2, width + 1 + 2 * LANES), np.float32)
    rising[LANES : LANES + width + 1] = squares
    falling[: width + 1] = squares[::-1]
    return rising, falling


def _scratch(chunk: Chunk) -> tuple[Any, ...]:
    """What a thread works in, as the kernels take it."""
    _, height, depth = map(int, chunk.shape)
    longest = max(height, depth)
    rows = min(longest, LONGEST_COLUMN)
    slab = np.empty(height * slab_stride.py_func(depth), np.float32)
    block = np.empty(height * BLOCK_STRIDE, np.float32)
    column = (
        np.empty(rows * LANES, np.float32),
        np.empty(rows * LANES, np.float32),
        np.empty((2, rows // 64 + 1), np.uint64),
        np.empty((3, longest + 2)),
    )
    return (
        (_squares(chunk), chunk.labels.ranges[0].astype(np.int64)),
        (slab, slab.view(np.int32)),
        (*_plane(height), block, block.view(np.int32)),
        (*_plane(depth), np.empty(depth * LANES, np.float32)),
        column,
    )


def _plane(rows: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Labels, and sites with rows of nothing on either side, as `lower_column` takes them."""
    return np.empty(rows * LANES, np.int32), np.full((rows + 2 * LONGEST_SEARCH) * LANES, np.inf, np.float32)
