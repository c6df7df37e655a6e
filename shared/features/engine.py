"""Labels of a chunk -> `Features`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
import numpy.typing as npt

from shared.features.result import Features

PCA_MIN_VOLUME_NM3 = 1e7
PCA_SAMPLE_VOXELS = 10_000


def chunk_features(
    labels: npt.NDArray[Any],
    resolution_nm: Sequence[float],
    node_ids: Sequence[int] | npt.NDArray[np.uint64] | None = None,
    threads: int = 1,
) -> Features:
    """Attributes of every label of a chunk, or of some.

    Args:
      labels: unsigned integers [x, y, z] in any memory order, 0 = background.
      resolution_nm: voxel size (x, y, z).
      node_ids: labels wanted; all of them if None. Those without voxels are not in the result.
      threads: how many threads to use.

    Returns:
      One row per label with voxels.
    """
    if node_ids is not None:
        labels = np.where(np.isin(labels, np.asarray(node_ids, np.uint64)), labels, 0)
    ids, inverse = np.unique(labels, return_inverse=True)
    index = inverse.reshape(labels.shape)
    if len(ids) == 0 or ids[-1] == 0:
        return Features.empty()
    res = np.asarray(resolution_nm, np.float64)
    n = len(ids)
    flat = index.ravel()
    count = np.bincount(flat, minlength=n)
    dt = edt.edt(np.asfortranarray(labels), anisotropy=tuple(res), black_border=False, parallel=threads)
    dt = np.where(np.isfinite(dt), np.floor(dt), 0).ravel()
    coords = np.indices(labels.shape).reshape(3, -1)
    mean = np.stack([np.bincount(flat, c, n) for c in coords]) / count
    offsets = [(c - m[flat]) * r for c, m, r in zip(coords, mean, res, strict=True)]
    distance = np.sqrt((offsets[0] ** 2 + offsets[1] ** 2) + offsets[2] ** 2)
    d_max = np.zeros(n)
    np.maximum.at(d_max, flat, distance)
    max_dt = np.zeros(n)
    np.maximum.at(max_dt, flat, dt)
    scale = d_max[flat]
    weight = dt * (1 - np.divide(distance, scale, out=np.zeros_like(distance), where=scale > 0))
    order = np.lexsort((-weight, flat))
    representative = coords[:, order[np.searchsorted(flat[order], np.arange(n))]].T
    area = np.zeros(n)
    faces = np.zeros((n, 2, 3))
    for axis in range(3):
        moved = np.moveaxis(index, axis, 0)
        differs = moved[1:] != moved[:-1]
        face = np.prod(np.delete(res, axis))
        area += face * (np.bincount(moved[1:][differs], minlength=n) + np.bincount(moved[:-1][differs], minlength=n))
        for side, end in enumerate((0, -1)):
            faces[:, side, axis] = np.bincount(moved[end].ravel(), minlength=n)
    scatter = np.zeros((n, 3, 3))
    for i in range(3):
        for j in range(3):
            scatter[:, i, j] = np.bincount(flat, offsets[i] * offsets[j], n)
    has_pca = (count * np.prod(res) >= PCA_MIN_VOLUME_NM3) & (count >= 3)
    variance, axes = np.linalg.eigh(scatter)
    axes = np.swapaxes(axes, 1, 2)[:, ::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(2)[..., None], 2)
    axes = np.where(has_pca[:, None, None], axes * np.sign(largest), 0)
    values = np.sqrt(np.maximum(variance[:, ::-1], 0) * np.minimum(1, PCA_SAMPLE_VOXELS / count)[:, None])
    rows = slice(1 if ids[0] == 0 else 0, None)
    mean_dt = np.bincount(flat, dt, n) / count
    return Features(
        node_ids=ids[rows].astype(np.uint64),
        size_nm3=np.minimum(count, 2**32 - 1)[rows].astype(np.uint32),
        area_nm2=np.minimum(area, 2**32 - 1)[rows].astype(np.uint32),
        max_dt_nm=np.minimum(max_dt, 65535)[rows].astype(np.uint16),
        mean_dt_nm=np.minimum(mean_dt, 65504)[rows].astype(np.float16),
        rep_coord_nm=representative[rows].astype(np.uint16),
        chunk_intersect_count=np.minimum(faces, 65535)[rows].astype(np.uint16),
        pca=axes[rows].astype(np.float16),
        pca_val=np.where(has_pca[:, None], values, 0)[rows].astype(np.float32),
        has_pca=has_pca[rows],
    )


def chunk_memory_bytes(shape: Sequence[int], label_bytes: int = 4) -> int:
    """Upper bound of the bytes that the features of a chunk need, the labels included.

    Args:
      shape: of the chunk, in voxels.
      label_bytes: bytes per label.
    """
    return int(np.prod([int(n) for n in shape])) * (label_bytes + 160)
