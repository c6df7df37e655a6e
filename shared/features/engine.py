"""Runs of a chunk -> `Features`: what the compiled kernels are given, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.features import sums as column
from shared.features.lanes import LANES
from shared.features.measure import NO_KEY
from shared.features.passes import measure_given, measure_planes, transform_planes
from shared.features.result import Features
from shared.features.runs import LabelRuns, in_ranges
from shared.features.stored import stored_features
from shared.features.sums import COLUMNS, add_runs, find_farthest

LARGEST_SQUARE = 10**9  # of a chunk's diagonal in the transform's unit, so that no intermediate result leaves int32


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Runs as the kernels take them: (ranges, run_end, run_label), int64[3] shape, float64[3] resolution, threads."""

    runs: tuple[npt.NDArray[Any], ...]
    shape: npt.NDArray[np.int64]
    resolution_nm: npt.NDArray[np.float64]
    labels: int
    threads: int

    def by_z(self, task: Callable[[int, int], Any]) -> list[Any]:
        """Results of task(z_from, z_to) for a range of z per thread."""
        return in_ranges(task, int(self.shape[2]), self.threads)


def runs_features(runs: LabelRuns, resolution_nm: npt.NDArray[np.float64], threads: int) -> Features:
    """Features of all labels of a chunk.

    Args:
      runs: the chunk.
      resolution_nm: float64[3], voxel size.
      threads: how many threads to use.
    """
    if len(runs.ids) == 1:
        return Features.empty()
    kernel_runs = (runs.ranges, runs.run_end, runs.run_label)
    resolution = resolution_nm[list(runs.axes)]
    chunk = _Chunk(kernel_runs, np.array(runs.shape, np.int64), resolution, len(runs.ids), threads)
    sums = _sums(chunk)
    if np.any(sums[1:, column.COUNT] == np.prod(chunk.shape)):
        keys = np.zeros(len(runs.ids), np.int64)  # a label without any boundary: distance 0, all weights equal
    else:
        keys = _measured(chunk, runs, sums)
    return stored_features(runs.ids, sums, keys, runs.axes, resolution_nm)


def _sums(chunk: _Chunk) -> npt.NDArray[np.int64]:
    """int64[k, COLUMNS] without the distance columns."""

    def partial(z_from: int, z_to: int) -> npt.NDArray[np.int64]:
        sums = np.zeros((chunk.labels, COLUMNS), np.int64)
        add_runs(chunk.runs, chunk.shape, z_from, z_to, sums)
        return sums

    total, *others = chunk.by_z(partial)
    for part in others:
        total += part
    return np.asarray(total)


def _place(chunk: _Chunk, sums: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Resolution float64[3], centroids float64[k, 3] in voxels, largest distance to them float64[k] in nm."""
    centroids = sums[:, column.SUM_X : column.SUM_Z + 1] / np.maximum(sums[:, column.COUNT], 1)[:, None]

    def partial(z_from: int, z_to: int) -> npt.NDArray[np.float64]:
        farthest = np.zeros(chunk.labels)
        find_farthest(chunk.runs, chunk.shape, z_from, z_to, chunk.resolution_nm, centroids, farthest)
        return farthest

    return chunk.resolution_nm, centroids, np.sqrt(np.max(chunk.by_z(partial), axis=0))


def _measured(chunk: _Chunk, runs: LabelRuns, sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Fill the distance columns of `sums`; returns each label's representative voxel as x << 32 | y << 16 | z."""
    place = _place(chunk, sums)
    single = sums[:, column.COUNT] == 1
    alone = (sums[:, column.SUM_X] << 32) | (sums[:, column.SUM_Y] << 16) | sums[:, column.SUM_Z]
    measure = _transformed(chunk) or _given(chunk, runs)

    def partial(y_from: int, y_to: int) -> tuple[Any, ...]:
        measured = sums if chunk.threads == 1 else np.zeros_like(sums)
        weights = np.where(single, np.inf, -1.0)  # nothing is larger: a single voxel needs no search
        keys = np.where(single, alone, NO_KEY)
        measure(y_from, y_to, place, measured, (weights, keys))
        return measured, weights, keys

    parts = in_ranges(partial, int(chunk.shape[1]), chunk.threads)
    if chunk.threads > 1:
        sums[:, column.SUM_DT] = np.sum([measured[:, column.SUM_DT] for measured, _, _ in parts], axis=0)
        sums[:, column.MAX_DT] = np.max([measured[:, column.MAX_DT] for measured, _, _ in parts], axis=0)
    best = np.max([weights for _, weights, _ in parts], axis=0)
    return np.asarray(np.min([np.where(weights == best, keys, NO_KEY) for _, weights, keys in parts], axis=0))


def _transformed(chunk: _Chunk) -> Callable[..., None] | None:
    """What measures planes of y by our own transform; None if that cannot do it in int32.

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

    def measure(y_from: int, y_to: int, *into: Any) -> None:
        scratch = _scratch(chunk.shape, 2)
        measure_planes(chunk.runs, chunk.shape, y_from, y_to, weights[2], step**2, volume, scratch, *into)

    return measure


def _given(chunk: _Chunk, runs: LabelRuns) -> Callable[..., None]:
    """What measures planes of y by the distances of the `edt` wheel."""
    import edt

    volume = edt.edt(
        runs.dense(), anisotropy=tuple(chunk.resolution_nm), black_border=False, parallel=chunk.threads
    ).ravel(order="F")

    def measure(y_from: int, y_to: int, *into: Any) -> None:
        measure_given(chunk.runs, chunk.shape, y_from, y_to, volume, np.empty(chunk.shape[0], np.int32), *into)

    return measure


def _scratch(shape: npt.NDArray[np.int64], axis: int) -> tuple[npt.NDArray[Any], ...]:
    """What the transform of a plane of x and `axis` works in."""
    rows = int(shape[axis])
    planes = np.empty((2, rows * int(shape[0])), np.int32)
    return planes, np.empty((3, rows * LANES), np.int32), np.empty((3, rows + 2))
