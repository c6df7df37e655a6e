"""Kernels of the distance transform: squared distances in nm2, one axis after the other.

The squared distance to the nearest voxel of another label is separable (Felzenszwalb & Huttenlocher 2012, "Distance
transforms of sampled functions"). Along one axis, with f the result of the axes before:

    result[r] = min over r' of  weight * (r - r')^2 + (f[r'] if label[r'] == label[r] else 0)

Only the nearest voxel of another label on either side can win among those, so that the labels are needed once, for its
distance. Beyond it terms with f are larger than its own: the search for the others needs no labels.

Float32 throughout: each axis' result is the smallest term, rounded once, which is what the `edt` wheel stores. So the
whole is identical to it bit by bit, whatever the voxel size.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import part
from shared.features.lanes import (
    LANES,
    any_below,
    everywhere,
    load,
    lower,
    lowest_bit,
    plus,
    store,
    times,
    times_plus,
    where_any,
    where_same,
)

LONGEST_SEARCH = 256  # steps; also rows of nothing on either side of a tile
ENVELOPE_COST = 60  # of sixteen columns, per row, in steps of the search
LONGEST_COLUMN = 4096  # rows whose number squared float32 can hold
SLACK = np.float32(1 + 2**-20)  # more than rounding can make of two terms
ONE = np.float32(1)
NOTHING = np.float32(np.inf)  # squared distance of a voxel that has seen no boundary yet


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
            here = np.float64(squared[first + site * stride]) if begin <= site < end else 0.0
            if here == np.inf or label == 0:
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
            value = np.inf
            if top >= 0:
                value = weight * (row - place[at]) * (row - place[at]) + height[at]
            out[out_first + row * out_stride] = np.float32(value)
        begin = end


@part
def _write_outside(labels, at, outside, rows, weight):
    """Write each row's squared distance to the nearest row of another label; 0 where there is no label."""
    one, nothing, zero = everywhere(ONE), everywhere(NOTHING), everywhere(np.float32(0))
    steps = nothing
    above = load(labels, at)
    for row in range(rows):
        own = load(labels, at + row * LANES)
        steps = where_same(own, above, plus(steps, one), one)
        store(outside, row * LANES, steps)
        above = own
    steps = nothing
    below = above
    for row in range(rows - 1, -1, -1):
        own = load(labels, at + row * LANES)
        steps = where_same(own, below, plus(steps, one), one)
        nearest = lower(steps, load(outside, row * LANES))
        square = times(times(nearest, nearest), everywhere(weight))
        store(outside, row * LANES, where_any(own, square, zero))
        below = own


@part
def _search(sites, at, outside, low, active, rows, weight):
    """Find the lowest of each row's own term and those of the rows around it, a step further at a time.

    Parabolas of one weight cross once: a term that n steps away is not the lowest of those no more steps away is not
    the lowest anywhere beyond. So a row has to be looked at in a step only if in the one before a term won, or came as
    close as rounding can matter, in a row beside it. A voxel of another label is no more steps away if its term is not
    larger than that of f = 0.

    Args:
      sites: float32, the terms' f, from `at` on; inf around them for LONGEST_SEARCH rows.
      at: of row 0 there.
      outside: float32[rows * LANES], terms of voxels of other labels.
      low: float32[rows * LANES], receives the lowest of the terms without `outside`, where that is larger.
      active: uint64[2, m], scratch: a bit for each row.
      rows: their number.
      weight: float32.

    Returns:
      whether `low` is that; if not, the search was too long.
    """
    words = (rows + 63) >> 6
    now, won = active[0], active[1]
    for word in range(words):
        now[word] = np.uint64(0xFFFFFFFFFFFFFFFF)
    last = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 * words - rows)
    weights, slack = everywhere(weight), everywhere(SLACK)
    left = ENVELOPE_COST * rows
    for row in range(rows):
        store(low, row * LANES, load(sites, at + row * LANES))
    for step in range(1, LONGEST_SEARCH + 1):
        now[words - 1] &= last
        square = everywhere(np.float32(step * step))
        reach = everywhere(np.float32(step * step) * weight / SLACK)
        up, down = at - step * LANES, at + step * LANES
        any_won = np.uint64(0)
        for word in range(words):
            bits, hits = now[word], np.uint64(0)
            while bits != np.uint64(0):
                bit = lowest_bit(bits)
                bits &= bits - np.uint64(1)
                row = (word * 64 + np.int64(bit)) * LANES
                term = times_plus(square, weights, lower(load(sites, row + up), load(sites, row + down)))
                own = load(low, row)
                hits |= any_below(term, times(own, slack), reach, load(outside, row)) << bit
                store(low, row, lower(own, term))
                left -= 1
            won[word] = hits
            any_won |= hits
        if any_won == np.uint64(0):
            return True
        if left < 0:
            return False
        for word in range(words):
            here = won[word]
            near = (here << np.uint64(1)) | (here >> np.uint64(1))
            if word > 0:
                near |= won[word - 1] >> np.uint64(63)
            if word + 1 < words:
                near |= won[word + 1] << np.uint64(63)
            now[word] = near
    return False


@part
def lower_column(labels, sites, low_row, high_row, weight, out, out_first, out_stride, scratch):
    """Take one axis into sixteen columns beside each other: row r goes to out[out_first + r * out_stride:].

    Args:
      labels: int32, those of row r from r * LANES on.
      sites: float32, squared distances by the axes before, of row r from (LONGEST_SEARCH + r) * LANES on; inf for
        voxels without a label, and for LONGEST_SEARCH rows on either side.
      low_row: the first row that is wanted; those before it have no label, but the one next to the others counts.
      high_row: the row after the last, likewise.
      weight: float32, squared voxel size.
      out: float32, receives the result.
      out_first: where row 0 goes.
      out_stride: of rows there.
      scratch: outside, low and active as the search takes them; parabolas float64[3, rows + 2].
    """
    outside, low, active, parabolas = scratch
    rows = high_row - low_row
    labels_at, sites_at = low_row * LANES, (low_row + LONGEST_SEARCH) * LANES
    out_at = out_first + low_row * out_stride
    if rows <= LONGEST_COLUMN:
        _write_outside(labels, labels_at, outside, rows, weight)
        if _search(sites, sites_at, outside, low, active, rows, weight):
            for row in range(rows):
                at = row * LANES
                store(out, out_at + row * out_stride, lower(load(outside, at), load(low, at)))
            return
    for lane in range(LANES):
        envelope(
            labels[labels_at:], sites[sites_at:], lane, np.int64(LANES), rows, np.float64(weight),
            out, out_at + lane, out_stride, parabolas,
        )  # fmt: skip
