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
    number_of_bits,
    plus,
    store,
    times,
    times_plus,
    where_any,
    where_same,
)

LONGEST_SEARCH = 256  # steps; also rows of nothing on either side of a tile
ENVELOPE_COST = 60  # of sixteen columns, per row, in steps of the search to both sides
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
def _first_step(sites, at, outside, low, won, rows, weight):
    """The step n = 1 of `_search`, at every row; returns whether a term won anywhere."""
    weights, slack = everywhere(weight), everywhere(SLACK)
    reach = everywhere(weight / SLACK)
    any_won = np.uint64(0)
    above, own = load(sites, at - LANES), load(sites, at)
    for word in range((rows + 63) >> 6):
        from_above, from_below = np.uint64(0), np.uint64(0)
        for bit in range(min(64, rows - word * 64)):
            row = (word * 64 + bit) * LANES
            below = load(sites, at + row + LANES)
            upper_term, lower_term = plus(above, weights), plus(below, weights)
            bound, limit = times(own, slack), load(outside, row)
            from_above |= any_below(upper_term, bound, reach, limit) << np.uint64(bit)
            from_below |= any_below(lower_term, bound, reach, limit) << np.uint64(bit)
            store(low, row, lower(own, lower(upper_term, lower_term)))
            above, own = own, below
        won[0, word], won[1, word] = from_above, from_below
        any_won |= from_above | from_below
    return any_won != np.uint64(0)


@part
def _look_at(bits, word, step, sites, from_row, outside, low, weight):
    """Take the terms of the rows at `from_row` beside those of `bits` into `low`; returns where they won."""
    square, weights, slack = everywhere(np.float32(step * step)), everywhere(weight), everywhere(SLACK)
    reach = everywhere(np.float32(step * step) * weight / SLACK)
    hits = np.uint64(0)
    while bits != np.uint64(0):
        bit = lowest_bit(bits)
        bits &= bits - np.uint64(1)
        row = (word * 64 + np.int64(bit)) * LANES
        term = times_plus(square, weights, load(sites, from_row + row))
        own = load(low, row)
        hits |= any_below(term, times(own, slack), reach, load(outside, row)) << bit
        store(low, row, lower(own, term))
    return hits


@part
def _search(sites, at, outside, low, won, rows, weight):
    """Find the lowest of each row's own term and those of the rows around it, a step further at a time.

    Step n adds to row r the terms of the rows r - n and r + n. Parabolas of one weight cross once. Say that the term of
    s = r - n is not the lowest at r of some that are no more than n steps away: the lower one's row q is beyond s, so
    that it gains on s in all rows beyond r. Hence s has to be looked at in row r + 1, in step n + 1, only if it won at
    r, or came as close as rounding can matter; and those of the other side by themselves, in row r - 1 likewise.

    The terms know no labels. One from beyond a boundary is never lower than the boundary's own, that of f = 0, which is
    in `outside`. And where a boundary is no more than n steps from r, the term of s cannot win at r, nor beyond it:
    there either the boundary is nearer, or it lies between.

    Args:
      sites: float32, the terms' f, from `at` on; inf around them for LONGEST_SEARCH rows.
      at: of row 0 there.
      outside: float32[rows * LANES], terms of voxels of other labels.
      low: float32[rows * LANES], receives the lowest of the terms without `outside`, where that is larger.
      won: uint64[2, m], scratch: a bit for each row where a term from above has won, and from below.
      rows: their number.
      weight: float32.

    Returns:
      whether `low` is that; if not, the search was too long.
    """
    words = (rows + 63) >> 6
    last = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 * words - rows)
    left = 2 * ENVELOPE_COST * rows  # terms
    going_on = _first_step(sites, at, outside, low, won, rows, weight)
    for step in range(2, LONGEST_SEARCH + 1):
        if not going_on or left < 0:
            return not going_on
        any_won, carried = np.uint64(0), np.uint64(0)
        for word in range(words):
            before = won[0, word]
            bits = (before << np.uint64(1)) | carried
            carried = before >> np.uint64(63)
            if word + 1 == words:
                bits &= last
            left -= number_of_bits(bits)
            won[0, word] = _look_at(bits, word, step, sites, at - step * LANES, outside, low, weight)
            any_won |= won[0, word]
        for word in range(words):
            bits = won[1, word] >> np.uint64(1)
            if word + 1 < words:
                bits |= won[1, word + 1] << np.uint64(63)
            left -= number_of_bits(bits)
            won[1, word] = _look_at(bits, word, step, sites, at + step * LANES, outside, low, weight)
            any_won |= won[1, word]
        going_on = any_won != np.uint64(0)
    return not going_on


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
      scratch: outside, low and won as the search takes them; parabolas float64[3, rows + 2].
    """
    outside, low, won, parabolas = scratch
    rows = high_row - low_row
    labels_at, sites_at = low_row * LANES, (low_row + LONGEST_SEARCH) * LANES
    out_at = out_first + low_row * out_stride
    if rows <= LONGEST_COLUMN:
        _write_outside(labels, labels_at, outside, rows, weight)
        if _search(sites, sites_at, outside, low, won, rows, weight):
            for row in range(rows):
                at = row * LANES
                store(out, out_at + row * out_stride, lower(load(outside, at), load(low, at)))
            return
    for lane in range(LANES):
        envelope(
            labels[labels_at:], sites[sites_at:], lane, np.int64(LANES), rows, np.float64(weight),
            out, out_at + lane, out_stride, parabolas,
        )  # fmt: skip
