"""Chunks with more labels than tissue can have: noise.

Sums that are scattered over as many labels miss the caches at every voxel. Here voxels are sorted by label instead, and
each label's are measured at a stretch. What a single voxel has follows from its place alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.features.noise_kernels import (
    DIGIT_BITS,
    add_sides,
    measure_groups,
    measure_singles,
    number_groups,
    sort_by_digit,
)
from shared.features.pca import nodes_with_pca, principal_axes
from shared.features.result import Features
from shared.features.runs import numbered_runs, run_axes
from shared.features.stored import LARGEST_FLOAT16
from shared.features.transform import Chunk, whole_distances


@dataclass(frozen=True, eq=False)
class _Groups:
    """Voxels by label.

    Attributes:
      begins: uint32[k + 1], where each group begins in `places`; group 0 is the background and may be empty.
      places: uint32[n], in Fortran order.
      ids: uint64[k], labels, ascending.
      numbers: uint32[nx, ny, nz], each voxel's group.
    """

    begins: npt.NDArray[np.uint32]
    places: npt.NDArray[np.uint32]
    ids: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.uint32]


def noise_features(labels: npt.NDArray[Any], resolution_nm: npt.NDArray[np.float64], threads: int) -> Features:
    """Features of all labels of a chunk, none of which fills it.

    Args:
      labels: unsigned integers [x, y, z], fewer than 2**32.
      resolution_nm: float64[3], voxel size.
      threads: how many threads to use.
    """
    axes = run_axes(labels.shape)
    groups = _grouped(labels.transpose(axes))
    count = groups.begins[2:] - groups.begins[1:-1]
    n = len(count)
    area, max_dt, mean_dt = np.empty(n, np.uint32), np.empty(n, np.uint16), np.empty(n)
    voxel, outside = np.empty((n, 3), np.uint16), np.zeros((n, 2, 3), np.uint16)
    columns = (area, max_dt, mean_dt, voxel, outside)
    has_pca = nodes_with_pca(count, resolution_nm)
    moments = np.zeros((np.count_nonzero(has_pca), 9), np.int64)
    resolution = resolution_nm[list(axes)]
    shape = np.array(groups.numbers.shape, np.int64)
    measure_singles(groups.begins, groups.places, shape, *_single_voxels(resolution), columns)
    if np.any(count > 1):
        runs = numbered_runs(groups.numbers, groups.ids, axes, threads)
        _measure(groups, Chunk.of(runs, resolution_nm, threads), int(count.max()), columns, has_pca, moments)
    pca, pca_val = np.zeros((n, 3, 3), np.float16), np.zeros((n, 3), np.float32)
    chunk_axes = np.argsort(axes)
    if len(moments):
        large = count[has_pca].astype(np.int64)
        directions, pca_val[has_pca] = principal_axes(large, moments[:, :3], moments[:, 3:], resolution)
        pca[has_pca] = directions[..., chunk_axes]
    return Features(
        node_ids=groups.ids[1:],
        size_nm3=count,
        area_nm2=area,
        max_dt_nm=max_dt,
        mean_dt_nm=np.minimum(mean_dt, LARGEST_FLOAT16, out=mean_dt).astype(np.float16),
        rep_coord_nm=voxel if axes == (0, 1, 2) else voxel[:, chunk_axes],
        chunk_intersect_count=outside if axes == (0, 1, 2) else outside[..., chunk_axes],
        pca=pca,
        pca_val=pca_val,
        has_pca=has_pca,
    )


def _grouped(labels: npt.NDArray[Any]) -> _Groups:
    """The voxels of a chunk by label."""
    values = labels.ravel(order="F")
    highest = int(values.max())
    values = values.astype(np.uint32 if highest < 2**32 else np.uint64)
    places = np.arange(len(values), dtype=np.uint32)
    other_values, other_places = np.empty_like(values), np.empty_like(places)
    ends = np.empty(2**DIGIT_BITS, np.int64)
    for shift in range(0, highest.bit_length(), DIGIT_BITS):
        sort_by_digit(values, places, shift, ends, other_values, other_places)
        values, other_values = other_values, values
        places, other_places = other_places, places
    begins, ids = np.empty(len(values) + 2, np.uint32), np.empty(len(values) + 1, np.uint64)
    numbers = other_places
    groups = number_groups(values, places, begins, ids, numbers)
    return _Groups(begins[: groups + 1], places, ids[:groups], numbers.reshape(labels.shape, order="F"))


def _measure(
    groups: _Groups,
    chunk: Chunk,
    largest: int,
    columns: tuple[npt.NDArray[Any], ...],
    has_pca: npt.NDArray[np.bool_],
    moments: npt.NDArray[np.int64],
) -> None:
    """Fill the columns and moments of groups of several voxels, the largest of which has `largest`."""
    distances, strides = whole_distances(chunk)
    longest = np.sqrt(np.sum((chunk.shape * chunk.resolution_nm) ** 2))
    known = distances if longest * 64 < 2**31 else distances.astype(np.int64)
    add_sides(groups.numbers.ravel(order="F"), chunk.shape, strides, known)
    block = np.empty(largest, np.int64), np.empty(largest, np.int32), np.empty(largest, np.uint8)
    measure_groups(
        groups.begins, groups.places, chunk.shape, chunk.resolution_nm, strides, known, block, np.empty(3), columns,
        has_pca, moments,
    )  # fmt: skip


def _single_voxels(resolution_nm: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Area and whole distance of a voxel with (i, j, k) neighbours along x, y, z, at position 9 i + 3 j + k.

    The distance is that to the nearest neighbour, by way of its float32 square as in the `edt` wheel.
    """
    rx, ry, rz = resolution_nm
    sides = np.stack(np.unravel_index(np.arange(27), (3, 3, 3)), axis=1)
    area = sides[:, 0] * (ry * rz) + sides[:, 1] * (rx * rz) + sides[:, 2] * (rx * ry)
    squares = np.where(sides > 0, resolution_nm.astype(np.float32) ** 2, np.float32(np.inf))
    nearest = np.sqrt(squares.astype(np.float32).min(axis=1))
    return area, np.where(np.isinf(nearest), 0, np.floor(nearest)).astype(np.float64)
