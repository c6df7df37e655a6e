"""Sums of labels -> `Features`: the form in which attributes are stored. What does not fit saturates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.features import sums as column
from shared.features.pca import nodes_with_pca, principal_axes
from shared.features.result import Features

LARGEST_UINT32 = 2**32 - 1
LARGEST_UINT16 = 2**16 - 1
LARGEST_FLOAT16 = 65504.0


def stored_features(
    ids: npt.NDArray[np.uint64],
    sums: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    axes: tuple[int, int, int],
    resolution_nm: npt.NDArray[np.float64],
) -> Features:
    """Features of all labels with voxels.

    Args:
      ids: uint64[k], labels in any order.
      sums: int64[k, COLUMNS], of each label, along the axes as they are called there.
      keys: int64[k], representative voxels as x << 32 | y << 16 | z, likewise.
      axes: which axes of the chunk those are.
      resolution_nm: float64[3], of the chunk's axes.
    """
    present = np.flatnonzero(sums[:, column.COUNT])
    order = present[np.argsort(ids[present])]
    sums, keys = sums[order], keys[order]
    count = sums[:, column.COUNT]
    chunk_axes = np.argsort(axes)
    low = sums[:, column.LOW_X : column.LOW_Z + 1]
    high = sums[:, column.HIGH_X : column.HIGH_Z + 1]
    voxels = np.stack([keys >> 32, keys >> 16 & 0xFFFF, keys & 0xFFFF], axis=1)
    has_pca = nodes_with_pca(count, resolution_nm)
    pca, pca_val = np.zeros((len(order), 3, 3), np.float16), np.zeros((len(order), 3), np.float32)
    if np.any(has_pca):
        pca[has_pca], pca_val[has_pca] = _axes(sums[has_pca], axes, resolution_nm)
    return Features(
        node_ids=ids[order],
        size_nm3=np.minimum(count, LARGEST_UINT32).astype(np.uint32),
        area_nm2=_area_nm2(sums, resolution_nm[list(axes)]),
        max_dt_nm=np.minimum(sums[:, column.MAX_DT], LARGEST_UINT16).astype(np.uint16),
        mean_dt_nm=np.minimum(sums[:, column.SUM_DT] / count, LARGEST_FLOAT16).astype(np.float16),
        rep_coord_nm=voxels[:, chunk_axes].astype(np.uint16),
        chunk_intersect_count=np.minimum(np.stack([low, high], axis=1), LARGEST_UINT16)[..., chunk_axes].astype(
            np.uint16
        ),
        pca=pca,
        pca_val=pca_val,
        has_pca=has_pca,
    )


def _axes(
    sums: npt.NDArray[np.int64], axes: tuple[int, int, int], resolution_nm: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    directions, values = principal_axes(
        sums[:, column.COUNT],
        sums[:, column.SUM_X : column.SUM_Z + 1],
        sums[:, column.SUM_XX : column.SUM_YZ + 1],
        resolution_nm[list(axes)],
    )
    return directions[..., np.argsort(axes)], values


def _area_nm2(sums: npt.NDArray[np.int64], resolution_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.uint32]:
    """Surface: of the two sides of each run (along x) or voxel (y, z), those neither outside nor shared."""
    rx, ry, rz = resolution_nm
    count = sums[:, column.COUNT]
    outside = sums[:, column.LOW_X : column.LOW_Z + 1] + sums[:, column.HIGH_X : column.HIGH_Z + 1]
    faces_x = 2 * sums[:, column.RUNS] - outside[:, 0]
    faces_y = 2 * (count - sums[:, column.PAIRS_Y]) - outside[:, 1]
    faces_z = 2 * (count - sums[:, column.PAIRS_Z]) - outside[:, 2]
    area = faces_x * (ry * rz) + faces_y * (rx * rz) + faces_z * (rx * ry)
    return np.asarray(np.minimum(area, LARGEST_UINT32).astype(np.uint32))
