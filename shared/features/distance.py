"""Kernels of the distance transform: squared distances in whole nm2, one axis after the other.

The squared distance to the nearest voxel of another label is separable (Felzenszwalb & Huttenlocher 2012, "Distance
transforms of sampled functions"). Along one axis, with f the result of the axes before:

    result[r] = min over r' of  weight * (r - r')^2 + (f[r'] if label[r'] == label[r] else 0)

A voxel of another label counts as f = 0. The minimum needs no stop there: beyond the nearest such voxel every term is
larger than its own. Terms with weight * k^2 >= the best so far cannot win, which bounds the search.
Each axis' result is rounded to float32 as the `edt` wheel stores it, so that the whole is identical to it bit by bit.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import part
from shared.features.lanes import LANES, as_float32, largest, load, lower, plus, store, upper, where_any, where_same

UNBOUNDED = 2**30  # squared distance of a voxel that has seen no boundary yet
PATIENCE = 24  # steps of the search before its cost is weighed against the envelope's
ENVELOPE_COST = 80  # of sixteen columns, per row, in steps of the search


@part
def write_labels(runs, row, labels, at):
    """Write the labels of one row of runs from position `at`."""
    ranges, run_end, run_label = runs
    start = np.int64(0)
    for run in range(ranges[0, row], ranges[1, row]):
        end = np.int64(run_end[run])
        to_labels = labels[at + start : at + end]
        label = np.int32(run_label[run])
        for i in range(end - start):
            to_labels[i] = label
        start = end


@part
def write_along_x(runs, row, width, weight, squared, at):
    """Write the squared distances along x in one row of runs from position `at`.

    A run that ends at the chunk's end has no boundary there.
    """
    ranges, run_end, run_label = runs
    start = np.int64(0)
    for run in range(ranges[0, row], ranges[1, row]):
        end = np.int64(run_end[run])
        to_squared = squared[at + start : at + end]
        low = start if start > 0 else -width
        high = end if end < width else 2 * width
        if run_label[run] == 0 or end - start == width:
            value = np.int32(0) if run_label[run] == 0 else np.int32(UNBOUNDED)
            for i in range(end - start):
                to_squared[i] = value
        else:
            for i in range(end - start):
                x = np.int32(start + i)
                steps = min(x - np.int32(low) + np.int32(1), np.int32(high) - x)
                to_squared[i] = np.int32(np.float32(steps * steps * np.int32(weight)))
        start = end


@part
def _search(labels, squared, rows, row, own, low, step, last, weight):
    """Lower `low` by the terms of steps [step, last] around a row of a tile, as far as they can win.

    Returns:
      the lowered lanes, the largest of them, and the next step.
    """
    top = largest(low)
    both = min(row, rows - 1 - row)
    while step <= last and step * step * weight < top:
        term = np.int32(step * step * weight)
        if step <= both:
            up = (row - step) * LANES
            down = (row + step) * LANES
            near = lower(
                where_same(own, load(labels, up), load(squared, up)),
                where_same(own, load(labels, down), load(squared, down)),
            )
        else:
            there = (row - step if row > both else row + step) * LANES
            near = where_same(own, load(labels, there), load(squared, there))
        low = lower(low, plus(near, term))
        step += 1
        if step & 1:
            top = largest(low)
    return low, largest(low), step


@part
def envelope(labels, squared, first, stride, rows, weight, out, out_first, out_stride, parabolas):
    """One column by the lower envelope of its parabolas: linear in the rows, whatever the distances.

    `parabolas` holds place, height, and the row from which on a parabola is the lowest. Voxels next to a run
    contribute height 0; a run's open end at the chunk's end contributes nothing.
    """
    place, height, lowest_from = parabolas[0], parabolas[1], parabolas[2]
    begin = 0
    while begin < rows:
        label = labels[first + begin * stride]
        end = begin + 1
        while end < rows and labels[first + end * stride] == label:
            end += 1
        top = -1
        for site in range(max(begin - 1, 0), min(end + 1, rows)):
            here = squared[first + site * stride] if begin <= site < end else 0
            if here >= UNBOUNDED or label == 0:
                continue
            cross = -np.inf
            while top >= 0:
                cross = (here - height[top]) / (2 * weight * (site - place[top])) + (site + place[top]) / 2
                if cross > lowest_from[top]:
                    break
                top -= 1
                cross = -np.inf
            top += 1
            place[top] = site
            height[top] = here
            lowest_from[top] = cross
        at = 0
        for row in range(begin, end):
            while at < top and lowest_from[at + 1] < row:
                at += 1
            value = float(UNBOUNDED)
            if top >= 0:
                value = weight * (row - place[at]) * (row - place[at]) + height[at]
            out[out_first + row * out_stride] = np.int32(np.float32(value))
        begin = end


@part
def _lower_tile(labels, squared, waiting, rows, weight, out, first, stride, parabolas):
    """One tile: sixteen columns, packed row by row. Writes row r to out[first + r * stride:][:16].

    Rows whose search is not over after `PATIENCE` steps wait; if what is left of them costs more than the envelope of
    the sixteen columns, that does the tile.
    """
    count = 0
    left = 0.0
    for row in range(rows):
        own = load(labels, row * LANES)
        last = max(row, rows - 1 - row)
        low = load(squared, row * LANES)
        low, top, step = _search(labels, squared, rows, row, own, low, np.int64(1), min(last, PATIENCE), weight)
        store(out, first + row * stride, as_float32(low))
        if step <= last and step * step * weight < top:
            waiting[count] = row
            count += 1
            left += min(np.sqrt(top / weight), float(last)) - step
    if left > ENVELOPE_COST * rows:
        for lane in range(LANES):
            envelope(labels, squared, lane, np.int64(LANES), rows, weight, out, first + lane, stride, parabolas)
        return
    for i in range(count):
        row = np.int64(waiting[i])
        own = load(labels, row * LANES)
        low = load(out, first + row * stride)
        start = np.int64(PATIENCE + 1)
        low, _, _ = _search(labels, squared, rows, row, own, low, start, max(row, rows - 1 - row), weight)
        store(out, first + row * stride, as_float32(low))


@part
def lower_rows(labels, squared, rows, width, weight, out, first, stride, tiles, parabolas):
    """Take one axis into a plane of rows: labels, squared: int32[rows * width]; row r goes to out[first + r * stride:].

    Where a tile has no label at all nothing is written. Scratch: tiles int32[3, rows * LANES], parabolas
    float64[3, rows + 2].
    """
    if width < LANES:
        for x in range(width):
            envelope(labels, squared, x, width, rows, weight, out, first + x, stride, parabolas)
        return
    tile_labels, tile_squared, waiting = tiles[0], tiles[1], tiles[2]
    for tile in range((width + LANES - 1) // LANES):
        x = min(tile * LANES, width - LANES)  # the last tile may overlap the one before
        seen = load(labels, x)
        for row in range(rows):
            own = load(labels, row * width + x)
            seen = upper(seen, own)
            store(tile_labels, row * LANES, own)
            store(tile_squared, row * LANES, where_any(own, load(squared, row * width + x)))
        if largest(seen) > 0:
            _lower_tile(tile_labels, tile_squared, waiting, rows, weight, out, first + x, stride, parabolas)
