"""Kernels that take a chunk's runs through the distance transform, plane by plane.

First x and y, in planes of z, into a volume laid out [y][z][x]; then z, in planes of y, which are contiguous there.
No volume of distances exists: a plane's distances are measured while they are in cache.
Planes are cut to the rows with labels and one row of background on either side. Where the chunk ends there is no such
row, and so no boundary.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import kernel, part
from shared.features.distance import lower_rows, write_along_x, write_labels
from shared.features.measure import measure_row


@part
def _labelled(runs, row, rows, step):
    """Range of the labelled ones among `rows` rows, `step` apart, widened by one each side; empty if there is none."""
    ranges, _, run_label = runs
    low, high = rows, -1
    for i in range(rows):
        here = row + i * step
        if ranges[1, here] - ranges[0, here] > 1 or run_label[ranges[0, here]] != 0:
            low = min(low, i)
            high = i
    if high < 0:
        return rows, rows
    return max(low - 1, 0), min(high + 2, rows)


@kernel
def transform_planes(runs, shape, z_from, z_to, squares, weight, volume, scratch):
    """Squared distances in the planes z_from <= z < z_to, into `volume`, float32[ny * nz * nx] in order [y][z][x].

    Args:
      runs: ranges, run_end, run_label.
      shape: int64[3].
      z_from: first plane.
      z_to: plane after the last.
      squares: float32[nx + 1], squared distances along x by steps.
      weight: float32, squared voxel size along y.
      volume: receives them.
      scratch: labels int32[n] and distances float32[n] of a plane, and that of `lower_rows`.
    """
    width, height, depth = shape[0], shape[1], shape[2]
    labels, squared, tile = scratch
    for z in range(z_from, z_to):
        low, high = _labelled(runs, height * z, height, np.int64(1))
        for y in range(low, high):
            write_labels(runs, y + height * z, labels, (y - low) * width)
            write_along_x(runs, y + height * z, width, squares, squared, (y - low) * width)
        first = (low * depth + z) * width
        lower_rows(labels, squared, high - low, width, weight, volume, first, depth * width, tile)


@part
def _finish_plane(runs, shape, y, weight, volume, scratch):
    """Whole distances in the labelled rows of a plane of y, in the plane that is returned with the range of z."""
    width, height, depth = shape[0], shape[1], shape[2]
    labels, distances, tile = scratch
    low, high = _labelled(runs, y, depth, height)
    for z in range(low, high):
        write_labels(runs, y + height * z, labels, (z - low) * width)
    squared = volume[(y * depth + low) * width : (y * depth + high) * width]
    lower_rows(labels, squared, high - low, width, weight, distances, np.int64(0), width, tile)
    for i in range((high - low) * width):
        labels[i] = np.int32(np.sqrt(distances[i]))
    return labels, low, high


@kernel
def measure_planes(runs, shape, y_from, y_to, weight, volume, scratch, place, sums, best):
    """Finish the transform in the planes y_from <= y < y_to, and measure the whole distances there."""
    width, height = shape[0], shape[1]
    for y in range(y_from, y_to):
        distances, low, high = _finish_plane(runs, shape, y, weight, volume, scratch)
        for z in range(low, high):
            measure_row(distances, (z - low) * width, runs, y + height * z, y, z, place, sums, best)


@kernel
def store_planes(runs, shape, y_from, y_to, weight, volume, scratch, whole):
    """Finish the transform in the planes y_from <= y < y_to: whole distances go to `whole`, int32, as in `volume`.

    Both may be the same memory.
    """
    width, depth = shape[0], shape[2]
    for y in range(y_from, y_to):
        distances, low, high = _finish_plane(runs, shape, y, weight, volume, scratch)
        at = (y * depth + low) * width
        for i in range((high - low) * width):
            whole[at + i] = distances[i]
