"""Chunks with more labels than tissue can have: noise, where nearly every voxel is a label of its own.

What a single voxel has follows from its place alone. The labels of more voxels, few then, go through the engine, for
which the single ones are background: distance and area treat every other label alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.features.crowd import DIGIT_BITS, single_voxels, sort_by_digit
from shared.features.engine import runs_features
from shared.features.result import Features
from shared.features.runs import find_runs
from shared.features.stored import LARGEST_FLOAT16, LARGEST_UINT16, LARGEST_UINT32


def crowded_features(labels: npt.NDArray[Any], resolution_nm: npt.NDArray[np.float64], threads: int) -> Features:
    """Features of all labels of a chunk.

    Args:
      labels: unsigned integers [x, y, z], fewer than 2**32 and more than one.
      resolution_nm: float64[3], voxel size.
      threads: how many threads to use.
    """
    values, places = _sorted(labels)
    singles = _single_voxels(values, places, labels.shape, resolution_nm)
    repeated = np.unique(values[1:][values[1:] == values[:-1]]).astype(np.uint64)
    del values, places
    if not np.any(repeated):
        return singles
    runs = find_runs(labels, repeated[repeated != 0], threads)
    return Features.concatenate([singles, runs_features(runs, resolution_nm, threads)])


def _sorted(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]:
    """All labels, ascending, uint32 where they fit, and the place of each in Fortran order."""
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
    return values, places


def _single_voxels(
    values: npt.NDArray[Any],
    places: npt.NDArray[np.uint32],
    shape: tuple[int, ...],
    resolution_nm: npt.NDArray[np.float64],
) -> Features:
    """Features of those of sorted labels that are there once; the number of neighbours decides area and distance."""
    n = len(values)
    ids, voxels, outside = np.empty(n, np.uint64), np.empty((n, 3), np.uint16), np.empty((n, 2, 3), np.uint16)
    kinds = np.empty(n, np.uint8)
    n = single_voxels(values, places, np.array(shape, np.int64), ids, voxels, outside, kinds)
    area_nm2, distance_nm = _by_kind(resolution_nm)
    return Features(
        node_ids=ids[:n],
        size_nm3=np.ones(n, np.uint32),
        area_nm2=np.minimum(area_nm2, LARGEST_UINT32).astype(np.uint32)[kinds[:n]],
        max_dt_nm=np.minimum(distance_nm, LARGEST_UINT16).astype(np.uint16)[kinds[:n]],
        mean_dt_nm=np.minimum(distance_nm, LARGEST_FLOAT16).astype(np.float16)[kinds[:n]],
        rep_coord_nm=voxels[:n],
        chunk_intersect_count=outside[:n],
        pca=np.zeros((n, 3, 3), np.float16),
        pca_val=np.zeros((n, 3), np.float32),
        has_pca=np.zeros(n, np.bool_),
    )


def _by_kind(resolution_nm: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Area and whole distance of a voxel with (i, j, k) neighbours along x, y, z, at position 9 i + 3 j + k.

    The distance is that to the nearest neighbour, by way of its float32 square as in the `edt` wheel.
    """
    rx, ry, rz = resolution_nm
    sides = np.stack(np.unravel_index(np.arange(27), (3, 3, 3)), axis=1)
    area = sides[:, 0] * (ry * rz) + sides[:, 1] * (rx * rz) + sides[:, 2] * (rx * ry)
    squares = np.where(sides > 0, resolution_nm.astype(np.float32) ** 2, np.float32(np.inf))
    nearest = np.sqrt(squares.astype(np.float32).min(axis=1))
    return area, np.where(np.isinf(nearest), 0, np.floor(nearest)).astype(np.float64)
