"""Kernels that add up what runs tell without looking at voxels: counts, moments, surfaces, extents.

Of a run [a, b) along x, count, sum and sum of squares of x have closed forms. Faces are counted by their complement:
a voxel has two sides along an axis; those on the chunk's outside and those towards the same label are no faces.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import kernel, part

# Columns of the int64 table of sums.
(
    COUNT,
    SUM_X,
    SUM_Y,
    SUM_Z,
    SUM_XX,
    SUM_YY,
    SUM_ZZ,
    SUM_XY,
    SUM_XZ,
    SUM_YZ,
    RUNS,
    PAIRS_Y,
    PAIRS_Z,
    LOW_X,
    LOW_Y,
    LOW_Z,
    HIGH_X,
    HIGH_Y,
    HIGH_Z,
    SUM_DT,
    MAX_DT,
) = range(21)
COLUMNS = 21


@part
def _add_shared_sides(runs, row, other, sums, column):
    """Add to `column` how many voxels of each label have the same label beside them in the other row."""
    ranges, run_end, run_label = runs
    i, j = np.int64(ranges[0, row]), np.int64(ranges[0, other])
    i_last, j_last = np.int64(ranges[1, row]), np.int64(ranges[1, other])
    if i + 1 == i_last and run_label[i] == 0:
        return
    start = np.int64(0)
    while i < i_last and j < j_last:
        i_end, j_end = np.int64(run_end[i]), np.int64(run_end[j])
        end = min(i_end, j_end)
        if run_label[i] == run_label[j]:
            sums[run_label[i], column] += end - start
        start = end
        i += i_end == end
        j += j_end == end


@part
def _add_run(to, start, end, y, z, shape):
    """Add a run [start, end) to its label's sums."""
    n = end - start
    x = (start + end - 1) * n // 2
    to[COUNT] += n
    to[SUM_X] += x
    to[SUM_Y] += n * y
    to[SUM_Z] += n * z
    to[SUM_XX] += (end * (end - 1) * (2 * end - 1) - start * (start - 1) * (2 * start - 1)) // 6
    to[SUM_YY] += n * y * y
    to[SUM_ZZ] += n * z * z
    to[SUM_XY] += x * y
    to[SUM_XZ] += x * z
    to[SUM_YZ] += n * y * z
    to[RUNS] += 1
    to[LOW_X] += start == 0
    to[HIGH_X] += end == shape[0]
    if y == 0:
        to[LOW_Y] += n
    if y == shape[1] - 1:
        to[HIGH_Y] += n
    if z == 0:
        to[LOW_Z] += n
    if z == shape[2] - 1:
        to[HIGH_Z] += n


@kernel
def add_runs(runs, shape, z_from, z_to, sums):
    """Add the runs of the rows z_from <= z < z_to to `sums`, int64[k, COLUMNS], a row per label.

    A row's neighbour in y or z is that of the higher coordinate, so each pair of rows is seen once.
    """
    ranges, run_end, run_label = runs
    height, depth = shape[1], shape[2]
    for z in range(z_from, z_to):
        for y in range(height):
            row = y + height * z
            start = np.int64(0)
            for run in range(ranges[0, row], ranges[1, row]):
                end = np.int64(run_end[run])
                label = run_label[run]
                if label != 0:
                    _add_run(sums[label], start, end, y, z, shape)
                start = end
            if y + 1 < height:
                _add_shared_sides(runs, row, row + 1, sums, np.int64(PAIRS_Y))
            if z + 1 < depth:
                _add_shared_sides(runs, row, row + height, sums, np.int64(PAIRS_Z))


@part
def squared_distance(x, y, z, centre, resolution):
    """Squared distance in nm2 of a voxel to a centroid: these operations, in this order, in float64.

    Each is monotonic, so the result grows with |x - centre| in floating point as it does in theory.
    """
    dx = (x - centre[0]) * resolution[0]
    dy = (y - centre[1]) * resolution[1]
    dz = (z - centre[2]) * resolution[2]
    return (dx * dx + dy * dy) + dz * dz


@kernel
def find_farthest(runs, shape, z_from, z_to, resolution, centroids, farthest):
    """Raise `farthest`, float64[k], to each label's largest squared distance to its centroid.

    Along a run the distance is convex: its largest value is at one of the ends.
    """
    ranges, run_end, run_label = runs
    height = shape[1]
    for z in range(z_from, z_to):
        for y in range(height):
            row = y + height * z
            start = np.int64(0)
            for run in range(ranges[0, row], ranges[1, row]):
                end = np.int64(run_end[run])
                label = run_label[run]
                if label != 0:
                    centre = centroids[label]
                    low = squared_distance(start, y, z, centre, resolution)
                    high = squared_distance(end - 1, y, z, centre, resolution)
                    farthest[label] = max(farthest[label], low, high)
                start = end
