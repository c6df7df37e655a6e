"""Kernels that lay runs out as a slab: the voxels of sixteen columns of x, [y][z][16].

A slab is what the transform works on. The sixteen voxels of a place (y, z) are in one vector, so that planes along y or
z are columns of vectors: along y they are made from the runs, one after the other, and along z they are read from the
slab. There squared distances and labels of a place lie side by side, in two lines of the cache, fetched together.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import part
from shared.features.distance import LONGEST_SEARCH, NOTHING
from shared.features.lanes import LANES, any_set, everywhere, from_lane, load, lower, store, where_any

PLACE = 2 * LANES  # squared distances and labels of a place
BLOCK = 8  # planes of z that go into a slab together
BLOCK_STRIDE = (BLOCK + 1) * PLACE  # of y in a block of planes, for the reason of `slab_stride`


@part
def slab_stride(depth):
    """Distance of planes of y in a slab: not a multiple of 4096 bytes, whose lines would want one place in a cache."""
    return (depth + 1) * PLACE


@part
def _write_row(runs, run, start, x, width, squares, labels, to_labels, sites, to_sites):
    """Write labels and squared distances along x of a row's voxels x <= x' < x + LANES, and tell if one has a label.

    The distance of a voxel is that to the nearer end of its run; one at the chunk's end is no boundary. Of two steps
    the larger number never has the smaller square, so that the lower of both squares is it.

    Args:
      runs: ranges, run_end, run_label.
      run: the one that x is in.
      start: of that run.
      x: the first voxel.
      width: of the chunk; voxels beyond it have no label.
      squares: of n steps, at LANES + n, float32[width + 2 * LANES + 1]; and of width - n steps, at n.
      labels: int32, receives labels.
      to_labels: where there.
      sites: float32, receives squared distances; inf where there is no boundary or no label.
      to_sites: where there.
    """
    _, run_end, run_label = runs
    rising, falling = squares
    nothing = everywhere(NOTHING)
    own, squared = everywhere(np.int32(0)), nothing
    stop = min(x + LANES, width)
    lane = np.int32(0)
    while True:
        end = np.int64(run_end[run])
        label = np.int32(run_label[run])
        term = nothing
        if label != 0:
            if start > 0:
                term = load(rising, LANES + 1 + x - start)
            if end < width:
                term = lower(term, load(falling, width - end + x))
        own = from_lane(lane, everywhere(label), own)
        squared = from_lane(lane, term, squared)
        if end >= stop:
            break
        lane = np.int32(end - x)
        start = end
        run += 1
    if stop < x + LANES:
        own = from_lane(np.int32(stop - x), everywhere(np.int32(0)), own)
        squared = from_lane(np.int32(stop - x), nothing, squared)
    store(labels, to_labels, own)
    store(sites, to_sites, squared)
    return any_set(own)


@part
def _widened(low, high, rows):
    """Range of the rows from `low` to `high` and one more on either side, where there is one: (rows, rows) of none."""
    if high < 0:
        return rows, rows
    return max(low - 1, 0), min(high + 2, rows)


@part
def write_plane(runs, cursors, z, shape, x, squares, labels, sites):
    """Write the plane z of the slab that begins at x, along y.

    Args:
      runs: ranges, run_end, run_label.
      cursors: int64[rows], for each row a run that does not begin after x; becomes the one that x is in.
      z: of the plane.
      shape: int64[3], of the chunk.
      x: the slab's first voxel.
      squares: as `_write_row` takes them.
      labels: int32[ny * LANES], receives labels.
      sites: float32, receives squared distances along x from row LONGEST_SEARCH on.

    Returns:
      range of the rows with labels, widened by one each side: there a boundary is, unless the chunk ends. It is empty
      if no row has one.
    """
    ranges, run_end, _ = runs
    width, height = shape[0], shape[1]
    low, high = height, np.int64(-1)
    for y in range(height):
        row = y + height * z
        run = cursors[row]
        while run_end[run] <= x:
            run += 1
        cursors[row] = run
        start = np.int64(0)
        if run > ranges[0, row]:
            start = np.int64(run_end[run - 1])
        to_sites = (y + LONGEST_SEARCH) * LANES
        if _write_row(runs, run, start, x, width, squares, labels, y * LANES, sites, to_sites):
            low = min(low, y)
            high = y
    return _widened(low, high, height)


@part
def write_block(block, rows, z, count, slab, stride):
    """Copy `count` planes of z from a block into a slab, from plane z on.

    Lines of a slab that lie beside each other in y are far apart, and a slab is larger than the caches near the
    processor. Of several planes each row's lines are beside each other, so that they are fetched ahead.
    """
    for y in range(rows):
        source, to = y * BLOCK_STRIDE, y * stride + z * PLACE
        for i in range(count):
            at = i * PLACE
            store(slab, to + at, load(block, source + at))
            store(slab, to + at + LANES, load(block, source + at + LANES))


@part
def read_plane(slab, slab_labels, first, rows, labels, sites):
    """Read a plane along z of a slab: labels, and squared distances from row LONGEST_SEARCH on; returns as
    `write_plane`.
    """
    nothing = everywhere(NOTHING)
    low, high = rows, np.int64(-1)
    for row in range(rows):
        at = first + row * PLACE
        own = load(slab_labels, at + LANES)
        store(labels, row * LANES, own)
        store(sites, (row + LONGEST_SEARCH) * LANES, where_any(own, load(slab, at), nothing))
        if any_set(own):
            low = min(low, row)
            high = row
    return _widened(low, high, rows)
