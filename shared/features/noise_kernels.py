"""Kernels for chunks with so many labels that sums per label do not fit the processor's caches; see `noise.py`."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np

from shared.features.compiled import kernel, part
from shared.features.sums import squared_distance

DIGIT_BITS = 11
LARGEST_UINT16 = 2**16 - 1
LARGEST_UINT32 = 2**32 - 1


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
def number_groups(labels, places, begins, ids, numbers):
    """Number sorted labels from 1, 0 being the background; returns the number of groups, that of 0 included.

    Args:
      labels: uint32 or uint64[n], ascending.
      places: uint32[n], of each in Fortran order.
      begins: uint32[n + 2], receives where each group begins, and n; group 0 may be empty.
      ids: uint64[n + 1], receives each group's label.
      numbers: uint32[n], receives the number at each place.
    """
    group = np.int64(0)
    begins[0] = 0
    ids[0] = 0
    for i in range(labels.size):
        if np.uint64(labels[i]) != ids[group]:
            group += 1
            begins[group] = i
            ids[group] = labels[i]
        numbers[places[i]] = group
    begins[group + 1] = labels.size
    return group + 1


@kernel
def add_sides(numbers, shape, strides, known):
    """Turn each voxel's distance d into 64 d + x + 4 y + 16 z, with how many neighbours along each axis differ.

    Args:
      numbers: uint32[n], in Fortran order.
      shape: int64[3].
      strides: int64[2]; voxel (x, y, z) is at x + strides[0] * y + strides[1] * z in `known`.
      known: int32 or int64[n].
    """
    width, height, depth = shape[0], shape[1], shape[2]
    for row in range(height * depth):
        y, z = row % height, row // height
        first = row * width
        to = strides[0] * y + strides[1] * z
        for x in range(width):
            at = first + x
            own = numbers[at]
            count = np.int64(x > 0 and numbers[at - 1] != own) + np.int64(x + 1 < width and numbers[at + 1] != own)
            if y > 0:
                count += 4 * np.int64(numbers[at - width] != own)
            if y + 1 < height:
                count += 4 * np.int64(numbers[at + width] != own)
            if z > 0:
                count += 16 * np.int64(numbers[at - width * height] != own)
            if z + 1 < depth:
                count += 16 * np.int64(numbers[at + width * height] != own)
            known[to + x] = known[to + x] * 64 + count


@part
def _key(place, width, height):
    """A place's voxel as x << 32 | y << 16 | z."""
    row = np.int64(place) // width
    z = row // height
    return ((np.int64(place) - row * width) << 32) | ((row - z * height) << 16) | z


@part
def _representative(keys, distances, centre, resolution):
    """Key of the voxel with the largest weight, the first by x, y, z of equal ones; keys, distances: of one group."""
    farthest = 0.0
    for i in range(keys.size):
        x, y, z = keys[i] >> 32, keys[i] >> 16 & 0xFFFF, keys[i] & 0xFFFF
        farthest = max(farthest, squared_distance(x, y, z, centre, resolution))
    scale = np.sqrt(farthest)
    best, winner = -1.0, keys[0]
    for i in range(keys.size):
        if distances[i] < best:
            continue
        x, y, z = keys[i] >> 32, keys[i] >> 16 & 0xFFFF, keys[i] & 0xFFFF
        weight = distances[i] * (1 - np.sqrt(squared_distance(x, y, z, centre, resolution)) / scale)
        if weight > best or (weight == best and keys[i] < winner):
            best, winner = weight, keys[i]
    return winner


@part
def _add_moments(keys, to):
    """Add the sums of x, y, z, xx, yy, zz, xy, xz, yz of voxels."""
    for i in range(keys.size):
        x, y, z = keys[i] >> 32, keys[i] >> 16 & 0xFFFF, keys[i] & 0xFFFF
        to[0] += x
        to[1] += y
        to[2] += z
        to[3] += x * x
        to[4] += y * y
        to[5] += z * z
        to[6] += x * y
        to[7] += x * z
        to[8] += y * z


@part
def _gather(begin, end, places, shape, strides, known, block):
    """Look up what is known of the voxels begin <= i < end; a loop without branches, as memory answers late."""
    keys, own, sides = block
    for i in range(begin, end):
        key = _key(places[i], shape[0], shape[1])
        x, y, z = key >> 32, key >> 16 & 0xFFFF, key & 0xFFFF
        both = known[x + strides[0] * y + strides[1] * z]
        keys[i - begin] = key
        own[i - begin] = both >> 6
        sides[i - begin] = both & 63


@part
def _count_outside(key, shape, row, outside):
    """Count a voxel on the faces of the chunk that it is on."""
    for axis in range(3):
        at = key >> (32 - 16 * axis) & 0xFFFF
        if at == 0 and outside[row, 0, axis] < LARGEST_UINT16:
            outside[row, 0, axis] += 1
        if at == shape[axis] - 1 and outside[row, 1, axis] < LARGEST_UINT16:
            outside[row, 1, axis] += 1


@part
def _measure_group(row, begin, end, shape, resolution, block, centre, columns):
    """Attributes of the group in [begin, end) of a block."""
    keys, own, sides = block
    area, max_dt, mean_dt, voxel, outside = columns
    sum_x, sum_y, sum_z, total, faces_x, faces_y, faces_z = 0, 0, 0, 0, 0, 0, 0
    top = np.int32(0)
    for i in range(begin, end):
        sum_x += keys[i] >> 32
        sum_y += keys[i] >> 16 & 0xFFFF
        sum_z += keys[i] & 0xFFFF
        total += own[i]
        top = max(top, own[i])
        faces_x += sides[i] & 3
        faces_y += sides[i] >> 2 & 3
        faces_z += sides[i] >> 4
        _count_outside(keys[i], shape, row, outside)
    surface = faces_x * (resolution[1] * resolution[2]) + faces_y * (resolution[0] * resolution[2])
    surface += faces_z * (resolution[0] * resolution[1])
    area[row] = np.uint32(np.int64(min(surface, float(LARGEST_UINT32))))
    max_dt[row] = min(np.int64(top), LARGEST_UINT16)
    n = end - begin
    mean_dt[row] = total / n
    centre[0], centre[1], centre[2] = sum_x / n, sum_y / n, sum_z / n
    winner = _representative(keys[begin:end], own[begin:end], centre, resolution)
    voxel[row, 0], voxel[row, 1], voxel[row, 2] = winner >> 32, winner >> 16 & 0xFFFF, winner & 0xFFFF


@kernel
def measure_groups(begins, places, shape, resolution, strides, known, block, centre, columns, large, moments):
    """Attributes of every group of more than one voxel but that of 0, one after the other.

    Args:
      begins: uint32[k + 1], where groups of places begin.
      places: uint32[n], in Fortran order, ascending in each group.
      shape: int64[3].
      resolution: float64[3], nm.
      strides: int64[2], as in `add_sides`.
      known: as `add_sides` leaves it.
      block: scratch: keys int64[m], distances int32[m], sides uint8[m], no shorter than the largest group.
      centre: scratch: float64[3].
      columns: area uint32[k - 1], largest distance uint16, mean float64, voxel uint16[, 3], on faces uint16[, 2, 3].
      large: bool[k - 1], groups whose moments are wanted.
      moments: int64[p, 9], receives their sums of x, y, z, xx, yy, zz, xy, xz, yz.
    """
    next_moments = 0
    for group in range(1, begins.size - 1):
        begin, end = np.int64(begins[group]), np.int64(begins[group + 1])
        if end - begin > 1:
            _gather(begin, end, places, shape, strides, known, block)
            _measure_group(group - 1, np.int64(0), end - begin, shape, resolution, block, centre, columns)
            if large[group - 1]:
                _add_moments(block[0][: end - begin], moments[next_moments])
                next_moments += 1


@kernel
def measure_singles(begins, places, shape, area_of, distance_of, columns):
    """Attributes of every group of one voxel but that of 0: how many neighbours the voxel has decides them.

    Args:
      begins: uint32[k + 1], where groups of places begin.
      places: uint32[n], in Fortran order.
      shape: int64[3].
      area_of: float64[27], nm2, of a voxel with (i, j, k) neighbours along x, y, z at 9 i + 3 j + k.
      distance_of: float64[27], whole nm.
      columns: as in `measure_groups`.
    """
    area, max_dt, mean_dt, voxel, outside = columns
    for group in range(1, begins.size - 1):
        if begins[group + 1] - begins[group] == 1:
            row = group - 1
            key = _key(places[begins[group]], shape[0], shape[1])
            kind = 0
            for axis in range(3):
                at = key >> (32 - 16 * axis) & 0xFFFF
                voxel[row, axis] = at
                kind = 3 * kind + (at > 0) + (at < shape[axis] - 1)
            if kind != 26:
                _count_outside(key, shape, row, outside)
            area[row] = np.uint32(np.int64(min(area_of[kind], float(LARGEST_UINT32))))
            max_dt[row] = min(np.int64(distance_of[kind]), LARGEST_UINT16)
            mean_dt[row] = distance_of[kind]
