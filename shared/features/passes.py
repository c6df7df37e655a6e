"""Kernels that take a chunk's runs through the distance transform, sixteen columns of x at a time.

First x and y, plane by plane of z, into a slab; then z, plane by plane of y, which are contiguous there. No volume of
distances exists: those of a plane are measured while they are in cache.
Planes are cut to the rows with labels and one row of background on either side. Where the chunk ends there is no such
row, and so no boundary.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import kernel, part
from shared.features.distance import lower_column
from shared.features.lanes import LANES, load, store, whole_roots
from shared.features.measure import measure_row
from shared.features.slab import PLACE, read_plane, slab_stride, write_plane


@part
def _fill_slab(runs, shape, x, weight, scratch):
    """Labels and squared distances within planes of z, of the slab that begins at x."""
    (squares, cursors), (slab, slab_labels), (labels, sites), _, column = scratch
    height, depth = shape[1], shape[2]
    stride = slab_stride(depth)
    for z in range(depth):
        low, high = write_plane(runs, cursors, z, shape, x, squares, labels, sites)
        for y in range(height):
            store(slab_labels, y * stride + z * PLACE + LANES, load(labels, y * LANES))
        if low < high:
            lower_column(labels, sites, low, high, weight, slab, z * PLACE, stride, column)


@part
def _finish_plane(shape, y, weight, scratch):
    """Labels and squared distances in the rows of a plane of y of a slab; returns the range of z with labels."""
    _, (slab, slab_labels), _, (labels, sites, squared), column = scratch
    low, high = read_plane(slab, slab_labels, y * slab_stride(shape[2]), shape[2], labels, sites)
    if low < high:
        lower_column(labels, sites, low, high, weight, squared, np.int64(0), np.int64(LANES), column)
    return low, high


@kernel
def measure_slabs(runs, shape, from_slab, to_slab, weights, scratch, place, sums, best):
    """Measure the whole distances in the slabs from_slab <= s < to_slab, of LANES voxels along x each.

    Args:
      runs: ranges, run_end, run_label.
      shape: int64[3].
      from_slab: first slab.
      to_slab: slab after the last.
      weights: float32[3], squared voxel size.
      scratch: squares and cursors as `write_plane` takes them; a slab, float32[ny * slab_stride(nz)], and the same
        memory as int32; labels and sites of a plane along y; those of one along z, and its squared distances; and that
        of `lower_column`.
      place: as `measure_row` takes it, like `sums` and `best`.
      sums: receives sums and largest distances.
      best: receives the representative voxels.
    """
    labels, _, squared = scratch[3]
    for slab in range(from_slab, to_slab):
        x = np.int64(slab * LANES)
        _fill_slab(runs, shape, x, weights[1], scratch)
        for y in range(shape[1]):
            low, high = _finish_plane(shape, y, weights[2], scratch)
            for z in range(low, high):
                own = load(labels, z * LANES)
                distances = whole_roots(load(squared, z * LANES))
                measure_row(own, distances, x, y, z, place, sums, best)


@kernel
def store_slabs(runs, shape, from_slab, to_slab, weights, scratch, whole):
    """Whole distances of the slabs go to `whole`, int32, in order [y][z][x]; else as `measure_slabs`."""
    width, depth = shape[0], shape[2]
    squared = scratch[3][2]
    for slab in range(from_slab, to_slab):
        x = np.int64(slab * LANES)
        count = min(LANES, width - x)
        _fill_slab(runs, shape, x, weights[1], scratch)
        for y in range(shape[1]):
            low, high = _finish_plane(shape, y, weights[2], scratch)
            for z in range(low, high):
                at = (y * depth + z) * width + x
                for lane in range(count):
                    whole[at + lane] = np.int32(np.sqrt(squared[z * LANES + lane]))
