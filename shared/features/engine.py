"""Runs of a chunk -> `Features`: what the compiled kernels are given, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared.features import sums as column
from shared.features.measure import NO_KEY
from shared.features.passes import measure_slabs
from shared.features.result import Features
from shared.features.runs import LabelRuns
from shared.features.stored import stored_features, sums_measures
from shared.features.sums import COLUMNS, add_runs, find_farthest
from shared.features.threads import Ranges
from shared.features.transform import Chunk, in_slabs

if TYPE_CHECKING:
    from shared.attributes import AttributeTable


def runs_features(
    runs: LabelRuns, resolution_nm: npt.NDArray[np.float64], threads: int, table: AttributeTable
) -> Features:
    """Features of all labels of a chunk.

    Args:
      runs: the chunk.
      resolution_nm: float64[3], voxel size.
      threads: how many threads to use.
      table: the attributes to compute.
    """
    if len(runs.ids) == 1:
        return Features.empty(table)
    chunk = Chunk.of(runs, resolution_nm, threads)
    sums = _sums(chunk)
    if np.any(sums[1:, column.COUNT] == np.prod(chunk.shape)):
        keys = np.zeros(len(runs.ids), np.int64)  # a label without any boundary: distance 0, all weights equal
    else:
        keys = _measured(chunk, sums)
    return stored_features(sums_measures(runs, sums, keys, resolution_nm), table)


def _sums(chunk: Chunk) -> npt.NDArray[np.int64]:
    """int64[k, COLUMNS] without the distance columns."""

    def partial(parts_of_z: Ranges) -> npt.NDArray[np.int64]:
        sums = np.zeros((len(chunk.labels.ids), COLUMNS), np.int64)
        for z_from, z_to in parts_of_z:
            add_runs(chunk.runs, chunk.shape, z_from, z_to, sums)
        return sums

    total, *others = chunk.by_z(partial)
    for part in others:
        total += part
    return np.asarray(total)


def _place(chunk: Chunk, sums: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Resolution float64[3], centroids float64[k, 3] in voxels, largest distance to them float64[k] in nm."""
    centroids = sums[:, column.SUM_X : column.SUM_Z + 1] / np.maximum(sums[:, column.COUNT], 1)[:, None]

    def partial(parts_of_z: Ranges) -> npt.NDArray[np.float64]:
        farthest = np.zeros(len(chunk.labels.ids))
        for z_from, z_to in parts_of_z:
            find_farthest(chunk.runs, chunk.shape, z_from, z_to, chunk.resolution_nm, centroids, farthest)
        return farthest

    return chunk.resolution_nm, centroids, np.sqrt(np.max(chunk.by_z(partial), axis=0))


def _measured(chunk: Chunk, sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Fill the distance columns of `sums`; returns each label's representative voxel as x << 32 | y << 16 | z."""
    place = _place(chunk, sums)
    single = sums[:, column.COUNT] == 1
    alone = (sums[:, column.SUM_X] << 32) | (sums[:, column.SUM_Y] << 16) | sums[:, column.SUM_Z]

    def partial(slabs: Ranges) -> tuple[Any, ...]:
        measured = sums if chunk.threads == 1 else np.zeros_like(sums)
        weights = np.where(single, np.inf, -1.0)  # nothing is larger: a single voxel needs no search
        keys = np.where(single, alone, NO_KEY)
        in_slabs(measure_slabs, chunk, slabs, place, measured, (weights, keys))
        return measured, weights, keys

    parts = chunk.by_slab(partial)
    if chunk.threads > 1:
        sums[:, column.SUM_DT] = np.sum([measured[:, column.SUM_DT] for measured, _, _ in parts], axis=0)
        sums[:, column.MAX_DT] = np.max([measured[:, column.MAX_DT] for measured, _, _ in parts], axis=0)
    best = np.max([weights for _, weights, _ in parts], axis=0)
    return np.asarray(np.min([np.where(weights == best, keys, NO_KEY) for _, weights, keys in parts], axis=0))
