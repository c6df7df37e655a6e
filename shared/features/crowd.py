"""Kernels for chunks in which labels are as many as voxels; see `crowded.py`."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import kernel

DIGIT_BITS = 11


@kernel
def sort_by_digit(labels, places, shift, ends, to_labels, to_places):
    """One pass of a radix sort: stable by the digit of DIGIT_BITS bits from bit `shift` on (Knuth, TAOCP 3, 5.2.5).

    Args:
      labels: uint32 or uint64[n].
      places: uint32[n], carried along.
      shift: of the digit.
      ends: int64[2 ** DIGIT_BITS], scratch.
      to_labels: receives the labels.
      to_places: receives the places.
    """
    mask = np.uint64(2**DIGIT_BITS - 1)
    for digit in range(ends.size):
        ends[digit] = 0
    for i in range(labels.size):
        ends[np.int64((np.uint64(labels[i]) >> np.uint64(shift)) & mask)] += 1
    total = np.int64(0)
    for digit in range(ends.size):
        total += ends[digit]
        ends[digit] = total - ends[digit]
    for i in range(labels.size):
        digit = np.int64((np.uint64(labels[i]) >> np.uint64(shift)) & mask)
        to_labels[ends[digit]] = labels[i]
        to_places[ends[digit]] = places[i]
        ends[digit] += 1


@kernel
def single_voxels(labels, places, shape, ids, voxels, outside, kinds):
    """Pick the labels of one voxel out of sorted ones; returns how many there are.

    Args:
      labels: uint32 or uint64[n], ascending.
      places: uint32[n], of each in Fortran order.
      shape: of the chunk.
      ids: uint64[n], receives the labels.
      voxels: uint16[n, 3], receives their coordinates.
      outside: uint16[n, 2, 3], receives 1 for each face of the chunk that the voxel is on.
      kinds: uint8[n], receives 9 i + 3 j + k where the voxel has (i, j, k) neighbours along x, y, z.
    """
    count = 0
    for i in range(labels.size):
        again = (i > 0 and labels[i - 1] == labels[i]) or (i + 1 < labels.size and labels[i + 1] == labels[i])
        if labels[i] == 0 or again:
            continue
        ids[count] = labels[i]
        rest = np.int64(places[i])
        kind = 0
        for axis in range(3):
            at = rest % shape[axis]
            rest //= shape[axis]
            voxels[count, axis] = at
            outside[count, 0, axis] = at == 0
            outside[count, 1, axis] = at == shape[axis] - 1
            kind = 3 * kind + (at > 0) + (at < shape[axis] - 1)
        kinds[count] = kind
        count += 1
    return count
