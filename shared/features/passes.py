"""Kernels that take a chunk's runs through the distance transform, plane by plane.

First x and y, in planes of z, into a volume laid out [y][z][x]; then z, in planes of y, which are contiguous there.
No volume of distances exists: a plane's distances are measured while they are in cache.
Planes are cut to the rows with labels and one row of background on either side. Where the chunk ends there is no such
row, and so no boundary.
"""

from __future__ import annotations

import numpy as np

from shared.features.compiled import kernel, part
from shared.features.distance import along_x, lower_rows
from shared.features.measure import measure_row


@part
def _labelled(ranges, run_label, row, rows, step):
    """Range of the labelled ones among `rows` rows, `step` apart, widened by one each side; empty if there is none."""
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
def transform_planes(ranges, run_end, run_label, shape, z_from, z_to, weights, volume, scratch, parabolas):
    """Squared distances in the planes z_from <= z < z_to, into `volume`, int32[ny * nz * nx] in order [y][z][x]."""
    width, height, depth = shape[0], shape[1], shape[2]
    labels, squared, tile_labels, tile_squared, waiting = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for z in range(z_from, z_to):
        low, high = _labelled(ranges, run_label, height * z, height, np.int64(1))
        for y in range(low, high):
            row = y + height * z
            along_x(ranges, run_end, run_label, row, width, weights[0], labels, squared, (y - low) * width)
        first = (low * depth + z) * width
        lower_rows(
            labels,
            squared,
            high - low,
            width,
            weights[1],
            volume,
            first,
            depth * width,
            tile_labels,
            tile_squared,
            waiting,
            parabolas,
        )


@kernel
def measure_planes(
    ranges,
    run_end,
    run_label,
    shape,
    y_from,
    y_to,
    weights,
    volume,
    scratch,
    parabolas,
    resolution,
    centres,
    farthest,
    sums,
    weight,
    key,
):
    """Finish the transform in the planes y_from <= y < y_to, and measure the whole distances there."""
    width, height, depth = shape[0], shape[1], shape[2]
    labels, squared, tile_labels, tile_squared, waiting = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    distances = scratch[5]
    for y in range(y_from, y_to):
        low, high = _labelled(ranges, run_label, y, depth, height)
        for z in range(low, high):
            row = y + height * z
            along_x(ranges, run_end, run_label, row, width, weights[0], labels, squared, (z - low) * width)
        begin = (y * depth + low) * width
        for i in range((high - low) * width):
            squared[i] = volume[begin + i]
        lower_rows(
            labels,
            squared,
            high - low,
            width,
            weights[2],
            distances,
            np.int64(0),
            width,
            tile_labels,
            tile_squared,
            waiting,
            parabolas,
        )
        for i in range((high - low) * width):
            distances[i] = np.int32(np.sqrt(np.float32(distances[i])))
        for z in range(low, high):
            measure_row(
                distances,
                (z - low) * width,
                y + height * z,
                y,
                z,
                ranges,
                run_end,
                run_label,
                resolution,
                centres,
                farthest,
                sums,
                weight,
                key,
            )


@kernel
def measure_given(
    ranges,
    run_end,
    run_label,
    shape,
    y_from,
    y_to,
    given,
    distances,
    resolution,
    centres,
    farthest,
    sums,
    weight,
    key,
):
    """Measure given distances, float32[nx * ny * nz] in order [z][y][x], in the planes y_from <= y < y_to.

    Scratch: distances, int32[nx].
    """
    width, height, depth = shape[0], shape[1], shape[2]
    for y in range(y_from, y_to):
        for z in range(depth):
            row = y + height * z
            begin = row * width
            for x in range(width):
                distances[x] = np.int32(given[begin + x])
            measure_row(
                distances,
                np.int64(0),
                row,
                y,
                z,
                ranges,
                run_end,
                run_label,
                resolution,
                centres,
                farthest,
                sums,
                weight,
                key,
            )
