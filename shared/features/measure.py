"""Kernels that read whole distances run by run: their sum and maximum, and the representative voxel."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import part
from shared.features.sums import MAX_DT, SUM_DT, squared_distance

NO_KEY = np.int64(2**62)  # after every voxel's key


@part
def _look_for_representative(distances, at, start, end, y, z, top, label, place, best):
    """Compare the voxels of one run with the label's best so far: larger weight, or as large and first by x, y, z.

    No weight in the run exceeds that of its largest distance `top` at the place nearest to the centroid; rounding is
    monotonic, so this holds in floating point too. A run whose bound is below the best so far cannot hold the winner.
    """
    resolution, centroids, farthest = place
    weights, keys = best
    centre = centroids[label]
    scale = farthest[label]
    nearest = min(max(np.int64(np.floor(centre[0])), start), end - 1)
    following = min(nearest + 1, end - 1)
    low = squared_distance(nearest, y, z, centre, resolution)
    high = squared_distance(following, y, z, centre, resolution)
    largest = weights[label]
    if top * (1 - np.sqrt(min(low, high)) / scale) < largest:
        return
    for x in range(start, end):
        distance = distances[at + x]
        if distance < largest:
            continue
        weight = distance * (1 - np.sqrt(squared_distance(x, y, z, centre, resolution)) / scale)
        key = (x << 32) | (y << 16) | z
        if weight > largest or (weight == largest and key < keys[label]):
            largest = weight
            weights[label] = weight
            keys[label] = key


@part
def measure_row(distances, at, runs, row, y, z, place, sums, best):
    """Take the whole distances of one row, distances[at + x], into `sums`, and into each label's best voxel.

    Args:
      distances: int32, whole nm.
      at: where the row begins.
      runs: ranges, run_end, run_label of the chunk.
      row: number of the row.
      y: its place.
      z: its place.
      place: resolution float64[3], centroids float64[k, 3], largest distance to the centroid float64[k].
      sums: int64[k, COLUMNS].
      best: weights float64[k] and keys int64[k] (x << 32 | y << 16 | z) of the best voxels so far.
    """
    ranges, run_end, run_label = runs
    weights = best[0]
    start = np.int64(0)
    for run in range(ranges[0, row], ranges[1, row]):
        end = np.int64(run_end[run])
        label = run_label[run]
        if label != 0:
            total = np.int64(0)
            top = np.int32(0)
            for i in range(at + start, at + end):
                total += distances[i]
                top = max(top, distances[i])
            to = sums[label]
            to[SUM_DT] += total
            to[MAX_DT] = max(to[MAX_DT], np.int64(top))
            if top >= weights[label]:
                _look_for_representative(distances, at, start, end, y, z, top, label, place, best)
        start = end
