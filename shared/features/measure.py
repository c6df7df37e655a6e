"""Kernels that read whole distances run by run: their sum and maximum, and the representative voxel."""

from __future__ import annotations

import numpy as np

from shared.features.compiled import part
from shared.features.sums import MAX_DT, SUM_DT, squared_distance

NO_KEY = np.int64(2**62)


@part
def _look_for_representative(
    distances, at, start, end, y, z, top, label, centre, farthest, resolution, best_weight, best_key
):
    """Compare the voxels of one run with the label's best so far: larger weight, or as large and first by x, y, z.

    No weight in the run exceeds that of its largest distance at the place nearest to the centroid (rounding is
    monotonic, so this holds in floating point too). A run whose bound is below the best so far cannot hold the winner.
    """
    nearest = min(max(np.int64(np.floor(centre[0])), start), end - 1)
    following = min(nearest + 1, end - 1)
    square = min(
        squared_distance(nearest, y, z, centre, resolution), squared_distance(following, y, z, centre, resolution)
    )
    best = best_weight[label]
    if top * (1 - np.sqrt(square) / farthest) < best:
        return
    for x in range(start, end):
        distance = distances[at + x]
        if distance < best:
            continue
        weight = distance * (1 - np.sqrt(squared_distance(x, y, z, centre, resolution)) / farthest)
        key = (x << 32) | (y << 16) | z
        if weight > best or (weight == best and key < best_key[label]):
            best = weight
            best_weight[label] = weight
            best_key[label] = key


@part
def measure_row(distances, at, row, y, z, ranges, run_end, run_label, resolution, centres, farthest, sums, weight, key):
    """Take the whole distances of one row, distances[at + x], into `sums`, and into each label's best voxel."""
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
            to[MAX_DT] = max(to[MAX_DT], top)
            if top >= weight[label]:
                _look_for_representative(
                    distances,
                    at,
                    start,
                    end,
                    y,
                    z,
                    top,
                    label,
                    centres[label],
                    farthest[label],
                    resolution,
                    weight,
                    key,
                )
        start = end
