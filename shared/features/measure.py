"""Kernels that read whole distances group by group: their sum and maximum, and the representative voxel."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import part
from shared.features.lane_groups import group_largest, group_starts, group_sum, lane_of
from shared.features.lanes import LANES, lowest_bit
from shared.features.sums import MAX_DT, SUM_DT, squared_distance

NO_KEY = np.int64(2**62)  # after every voxel's key


@part
def _look_for_representative(distances, first, start, end, y, z, top, label, place, best):
    """Compare the voxels start <= x < end of one label with its best so far: larger weight, or as large and first by
    x, y, z.

    No weight among them exceeds that of their largest distance `top` at the place nearest to the centroid; rounding is
    monotonic, so this holds in floating point too. Where that bound is below the best so far there is no winner.
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
        distance = lane_of(distances, np.int32(x - first))
        if distance < largest:
            continue
        weight = distance * (1 - np.sqrt(squared_distance(x, y, z, centre, resolution)) / scale)
        key = (x << 32) | (y << 16) | z
        if weight > largest or (weight == largest and key < keys[label]):
            largest = weight
            weights[label] = weight
            keys[label] = key


@part
def measure_row(labels, distances, first, y, z, place, sums, best):
    """Take the distances of the voxels first <= x < first + LANES of one row into `sums` and each label's best voxel.

    Args:
      labels: of the voxels, in lanes.
      distances: whole nm, in lanes.
      first: x of the first lane.
      y: its place.
      z: its place.
      place: resolution float64[3], centroids float64[k, 3], largest distance to the centroid float64[k].
      sums: int64[k, COLUMNS].
      best: weights float64[k] and keys int64[k] (x << 32 | y << 16 | z) of the best voxels so far.
    """
    weights = best[0]
    starts = group_starts(labels)
    start = np.int32(0)
    while start < LANES:
        starts &= starts - np.uint64(1)
        end = np.int32(LANES)
        if starts != np.uint64(0):
            end = np.int32(lowest_bit(starts))
        label = lane_of(labels, start)
        if label != 0:
            top = group_largest(distances, start, end)
            to = sums[label]
            to[SUM_DT] += group_sum(distances, start, end)
            to[MAX_DT] = max(to[MAX_DT], np.int64(top))
            if top >= weights[label]:
                _look_for_representative(distances, first, first + start, first + end, y, z, top, label, place, best)
        start = end
