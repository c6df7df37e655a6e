"""Runs of a chunk -> `Features`: compiled sums and distances, brought into the form in which they are stored."""

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
from shared.features.pca import nodes_with_pca, principal_axes
from shared.features.result import Features
from shared.features.runs import LabelRuns, in_ranges
from shared.features.sums import COLUMNS, add_runs, find_farthest

LARGEST_SQUARE_NM2 = 10**9  # of a chunk's diagonal, so that no intermediate result leaves int32


@dataclass(frozen=True, eq=False)
class _Centres:
    """Where labels lie: centroids float64[k, 3] in voxels, largest distance to them float64[k] in nm."""

    centroids: npt.NDArray[np.float64]
    farthest: npt.NDArray[np.float64]


def runs_features(runs: LabelRuns, resolution_nm: npt.NDArray[np.float64], threads: int) -> Features:
    """Features of all labels of a chunk.

    Args:
      runs: the chunk.
      resolution_nm: float64[3], voxel size.
      threads: how many threads to use.
    """
    if len(runs.ids) == 1:
        return Features.empty()
    rows = (runs.ranges, runs.run_end, runs.run_label)
    shape = np.array(runs.shape, np.int64)

    def partial_sums(begin: int, end: int) -> npt.NDArray[np.int64]:
        partial = np.zeros((len(runs.ids), COLUMNS), np.int64)
        add_runs(*rows, shape, begin, end, partial)
        return partial

    sums = _added(in_ranges(partial_sums, runs.shape[2], threads))
    centres = _centres(runs, sums, resolution_nm, threads)
    keys = _measure(runs, resolution_nm, centres, sums, threads)
    return _features(runs.ids, sums, keys, resolution_nm)


def _added(parts: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _centres(
    runs: LabelRuns, sums: npt.NDArray[np.int64], resolution_nm: npt.NDArray[np.float64], threads: int
) -> _Centres:
    centroids = sums[:, column.SUM_X : column.SUM_Z + 1] / np.maximum(sums[:, column.COUNT], 1)[:, None]

    def partial_farthest(begin: int, end: int) -> npt.NDArray[np.float64]:
        farthest = np.zeros(len(runs.ids))
        find_farthest(
            runs.ranges, runs.run_end, runs.run_label, np.array(runs.shape, np.int64),
            begin, end, resolution_nm, centroids, farthest,
        )  # fmt: skip
        return farthest

    squares = in_ranges(partial_farthest, runs.shape[2], threads)
    return _Centres(centroids, np.sqrt(np.max(squares, axis=0)))


def _measure(
    runs: LabelRuns,
    resolution_nm: npt.NDArray[np.float64],
    centres: _Centres,
    sums: npt.NDArray[np.int64],
    threads: int,
) -> npt.NDArray[np.int64]:
    """Fill the distance columns of `sums`; returns each label's representative voxel as x << 32 | y << 16 | z."""
    single = sums[:, column.COUNT] == 1
    alone = (sums[:, column.SUM_X] << 32) | (sums[:, column.SUM_Y] << 16) | sums[:, column.SUM_Z]
    if np.any(sums[1:, column.COUNT] == np.prod(runs.shape)):
        return np.zeros(len(runs.ids), np.int64)  # a label without any boundary: distance 0 everywhere
    rows = (runs.ranges, runs.run_end, runs.run_label, np.array(runs.shape, np.int64))
    kernel, given, scratch = _distances(runs, rows, resolution_nm, threads)

    def partial_measures(begin: int, end: int) -> tuple[Any, ...]:
        partial = sums if threads == 1 else np.zeros_like(sums)
        weight = np.where(single, np.inf, -1.0)  # nothing is larger: a single voxel needs no search
        key = np.where(single, alone, NO_KEY)
        place = (resolution_nm, centres.centroids, centres.farthest)
        kernel(*rows, begin, end, *given, *scratch(), *place, partial, weight, key)
        return partial, weight, key

    parts = in_ranges(partial_measures, runs.shape[1], threads)
    if threads > 1:
        sums[:, column.SUM_DT] = np.sum([partial[:, column.SUM_DT] for partial, _, _ in parts], axis=0)
        sums[:, column.MAX_DT] = np.max([partial[:, column.MAX_DT] for partial, _, _ in parts], axis=0)
    best = np.max([weight for _, weight, _ in parts], axis=0)
    return np.asarray(np.min([np.where(weight == best, key, NO_KEY) for _, weight, key in parts], axis=0))


def _distances(
    runs: LabelRuns, rows: tuple[Any, ...], resolution_nm: npt.NDArray[np.float64], threads: int
) -> tuple[Any, tuple[Any, ...], Callable[[], tuple[Any, ...]]]:
    """The kernel that measures distances, those it is given, and what makes its scratch.

    Our own transform works in int32: where the resolution is fractional or the chunk too large for that, the wheel's
    volume takes its place.
    """
    diagonal = float(np.sum((resolution_nm * runs.shape) ** 2))
    if np.all(resolution_nm == np.floor(resolution_nm)) and diagonal <= LARGEST_SQUARE_NM2:
        weights = (resolution_nm**2).astype(np.int64)
        volume = np.empty(int(np.prod(runs.shape)), np.int32)
        in_ranges(
            lambda begin, end: transform_planes(*rows, begin, end, weights, volume, *_scratch(runs.shape, 1)),
            runs.shape[2],
            threads,
        )
        return measure_planes, (weights, volume), lambda: _scratch(runs.shape, 2)
    import edt

    distances = edt.edt(runs.dense(), anisotropy=tuple(resolution_nm), black_border=False, parallel=threads)
    return measure_given, (distances.ravel(order="F"),), lambda: (np.empty(runs.shape[0], np.int32),)


def _scratch(shape: tuple[int, int, int], axis: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """What the transform of a plane of x and `axis` works in: int32[6, n] and float64[3, m]."""
    return np.empty((6, shape[axis] * max(shape[0], LANES)), np.int32), np.empty((3, shape[axis] + 2))


def _features(
    ids: npt.NDArray[np.uint64],
    sums: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    resolution_nm: npt.NDArray[np.float64],
) -> Features:
    """Bring the sums of all labels with voxels into the form of the store; what does not fit saturates."""
    present = np.flatnonzero(sums[:, column.COUNT])
    order = present[np.argsort(ids[present])]
    sums, keys = sums[order], keys[order]
    count = sums[:, column.COUNT]
    low = sums[:, column.LOW_X : column.LOW_Z + 1]
    high = sums[:, column.HIGH_X : column.HIGH_Z + 1]
    has_pca = nodes_with_pca(count, resolution_nm)
    axes, values = np.zeros((len(order), 3, 3), np.float16), np.zeros((len(order), 3), np.float32)
    large = sums[has_pca]
    axes[has_pca], values[has_pca] = principal_axes(
        large[:, column.COUNT],
        large[:, column.SUM_X : column.SUM_Z + 1],
        large[:, column.SUM_XX : column.SUM_YZ + 1],
        resolution_nm,
    )
    return Features(
        node_ids=ids[order],
        size_nm3=np.minimum(count, 2**32 - 1).astype(np.uint32),
        area_nm2=_area_nm2(sums, low + high, resolution_nm),
        max_dt_nm=np.minimum(sums[:, column.MAX_DT], 2**16 - 1).astype(np.uint16),
        mean_dt_nm=np.minimum(sums[:, column.SUM_DT] / count, np.finfo(np.float16).max).astype(np.float16),
        rep_coord_nm=np.stack([keys >> 32, keys >> 16 & 0xFFFF, keys & 0xFFFF], axis=1).astype(np.uint16),
        chunk_intersect_count=np.minimum(np.stack([low, high], axis=1), 2**16 - 1).astype(np.uint16),
        pca=axes,
        pca_val=values,
        has_pca=has_pca,
    )


def _area_nm2(
    sums: npt.NDArray[np.int64], outside: npt.NDArray[np.int64], resolution_nm: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint32]:
    """Surface: of the two sides of each run (along x) or voxel (y, z), those neither outside nor shared."""
    rx, ry, rz = resolution_nm
    count = sums[:, column.COUNT]
    faces_x = 2 * sums[:, column.RUNS] - outside[:, 0]
    faces_y = 2 * (count - sums[:, column.PAIRS_Y]) - outside[:, 1]
    faces_z = 2 * (count - sums[:, column.PAIRS_Z]) - outside[:, 2]
    area = faces_x * (ry * rz) + faces_y * (rx * rz) + faces_z * (rx * ry)
    return np.asarray(np.minimum(area, 2**32 - 1).astype(np.uint32))
