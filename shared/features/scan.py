"""Kernels that find the runs of equal labels along x, and number the labels."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import kernel, part
from shared.features.lane_groups import leading_equal
from shared.features.lanes import LANES

EMPTY = np.uint32(0xFFFFFFFF)  # a free slot of the table of numbers
TILE = 16  # rows that are copied together: reads are contiguous whether x or the other axis is
OPEN, CLOSED, NUMBERED = 0, 1, 2
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, for multiplicative hashing (Knuth, TAOCP 3, 6.4)


@part
def slot_of(table, ids, label):
    """Where a label is in the table of numbers, or the empty slot where it belongs (linear probing)."""
    mask = table.size - 1
    slot = np.int64((label * _SPREAD) >> np.uint64(32)) & mask
    while table[slot] != EMPTY and ids[table[slot]] != label:
        slot = (slot + 1) & mask
    return slot


@part
def number_of(table, ids, label, known, mode):
    """A label's number by the mode of `scan_rows`; that of a new one is `known`, and it is entered."""
    if label == 0 or mode == NUMBERED:
        return np.int64(label)
    slot = slot_of(table, ids, label)
    if table[slot] != EMPTY:
        return np.int64(table[slot])
    if mode == CLOSED:
        return np.int64(0)
    table[slot] = known
    ids[known] = label
    return np.int64(known)


@part
def enter_known(table, ids, known):
    """Enter the first `known` of `ids` into an empty table of numbers."""
    for number in range(known):
        table[slot_of(table, ids, ids[number])] = number


@part
def _gather(flat, at, stride_x, stride, rows, width, tile):
    """Copy `rows` rows that lie `stride` apart into `tile`, each contiguous."""
    if stride_x == 1:
        for row in range(rows):
            source = at + row * stride
            for x in range(width):
                tile[row * width + x] = flat[source + x]
    else:
        for x in range(width):
            source = at + x * stride_x
            for row in range(rows):
                tile[row * width + x] = flat[source + row * stride]


@kernel
def scan_rows(flat, width, layout, tile, begin, end, mode, table, ids, known, runs, ranges, run_end, run_label):
    """Runs of the rows begin <= p < end, until one might not fit any more.

    Row p lies at p % count along the inner axis (y or z), and p // count along the outer one.
    Rows before `begin` have left `known` labels and `runs` runs.

    Args:
      flat: the labels' memory, read-only.
      width: voxels per row.
      layout: int64[6]: stride of x, of the inner, and of the outer axis in elements; rows along the inner axis; step in
        row number along the inner, and along the outer axis.
      tile: labels[TILE * width + LANES], scratch.
      begin: first row.
      end: row after the last.
      mode: OPEN if new labels get numbers, CLOSED if they are background, NUMBERED if labels are numbers.
      table: uint32[power of two], all EMPTY: numbers by the labels' hashes.
      ids: uint64[k], labels by number, 0 first; at least half the size of the table.
      known: how many of them there are.
      runs: how many runs there are.
      ranges: uint32[2, ny * nz], receives each row's first run, and the one after its last, by row number.
      run_end: uint16[m], receives x after each run.
      run_label: uint32[m], receives each run's label's number.

    Returns:
      the row at which to continue, `known`, `runs`.
    """
    enter_known(table, ids, known)
    count = layout[3]
    first_row = begin
    row_in_tile = 0
    for p in range(begin, end):
        if runs + width > run_end.size or known + width > ids.size:
            return p, known, runs
        inner = p % count
        if p == first_row or inner % TILE == 0:
            rows = TILE - inner % TILE
            if inner + rows > count:
                rows = count - inner
            _gather(flat, inner * layout[1] + p // count * layout[2], layout[0], layout[1], rows, width, tile)
            row_in_tile = 0
        at = row_in_tile * width
        row_in_tile += 1
        row = inner * layout[4] + p // count * layout[5]
        ranges[0, row] = runs
        x = 0
        while x < width:
            label = tile[at + x]
            same = LANES
            while same == LANES and x < width:
                same = leading_equal(tile, at + x, label)
                x += same
            x = min(x, width)
            number = number_of(table, ids, np.uint64(label), known, mode)
            if mode == OPEN:
                known = max(known, number + 1)
            if runs > ranges[0, row] and run_label[runs - 1] == number:
                run_end[runs - 1] = x
            else:
                run_end[runs] = x
                run_label[runs] = number
                runs += 1
        ranges[1, row] = runs
    return end, known, runs


@kernel
def renumber(ranges, run_end, run_label, numbers, new_ranges, new_end, new_label):
    """Write runs with label k replaced by numbers[k], joined where neighbours become equal; returns how many."""
    runs = 0
    for row in range(ranges.shape[1]):
        first = runs
        new_ranges[0, row] = first
        for run in range(ranges[0, row], ranges[1, row]):
            number = numbers[run_label[run]]
            if runs > first and new_label[runs - 1] == number:
                new_end[runs - 1] = run_end[run]
            else:
                new_end[runs] = run_end[run]
                new_label[runs] = number
                runs += 1
        new_ranges[1, row] = runs
    return runs


@kernel
def fill_labels(ranges, run_end, run_label, width, labels):
    """Write the labels of the runs to uint32[nx * ny * nz] in order [z][y][x]."""
    for row in range(ranges.shape[1]):
        at = row * width
        x = 0
        for run in range(ranges[0, row], ranges[1, row]):
            end = np.int64(run_end[run])
            while x < end:
                labels[at + x] = run_label[run]
                x += 1
