"""The eight attributes once more: slow, plain, label by label, straight from their definition.

Independent of the engine: scipy and scikit-learn where they have the term, plain loops elsewhere. The distance is
defined "as the `edt` package computes it", so the floor of a distance that is a whole number of nanometres, or beyond
what float32 resolves, is what the wheel's float32 says; `exact_distance_nm` is the mathematical one, to check the wheel
itself. The wheel rounds per axis in the array's memory order; the order is fixed to Fortran's here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from sklearn.decomposition import PCA


@dataclass(frozen=True)
class NodeFeatures:
    """One node's attributes before they are stored: exact, unsaturated.

    Attributes:
      size_voxels: number of voxels.
      area_nm2: surface.
      max_dt_nm: largest whole distance.
      mean_dt_nm: mean whole distance.
      rep_coord: representative voxel.
      chunk_intersect_count: int[2, 3].
      scatter_nm2: float[3, 3], sum of outer products of the centred positions.
      pca: components and singular values, or None.
    """

    size_voxels: int
    area_nm2: float
    max_dt_nm: int
    mean_dt_nm: float
    rep_coord: tuple[int, int, int]
    chunk_intersect_count: npt.NDArray[np.int64]
    scatter_nm2: npt.NDArray[np.float64]
    pca: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None


def exact_distance_nm(mask: npt.NDArray[np.bool_], resolution_nm: Sequence[float]) -> npt.NDArray[np.float64]:
    """Distance of each voxel of a mask to the nearest voxel outside it, in float64; inf if there is none outside."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=resolution_nm), np.float64)


def whole_distance_nm(labels: npt.NDArray[Any], resolution_nm: Sequence[float]) -> npt.NDArray[np.int64]:
    """floor(dt) of every voxel as the `edt` package computes it; 0 where it is infinite."""
    distance = edt.edt(np.asfortranarray(labels), anisotropy=tuple(resolution_nm), black_border=False, parallel=1)
    return np.where(np.isinf(distance), 0, np.floor(distance)).astype(np.int64)


def weights(
    coordinates: npt.NDArray[np.int64], distances_nm: npt.NDArray[np.int64], resolution_nm: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Weight of each voxel of one node as its representative; all in float64, in exactly these operations."""
    to_centroid = np.linalg.norm((coordinates - coordinates.mean(axis=0)) * np.asarray(resolution_nm), axis=1)
    if to_centroid.max() == 0:
        return np.ones(len(coordinates))
    return np.asarray(distances_nm * (1 - to_centroid / to_centroid.max()))


def _area_nm2(mask: npt.NDArray[np.bool_], resolution_nm: Sequence[float]) -> float:
    rx, ry, rz = resolution_nm
    area = 0.0
    for axis, face_nm2 in enumerate((ry * rz, rx * rz, rx * ry)):
        area += face_nm2 * int(np.count_nonzero(np.diff(mask.astype(np.int8), axis=axis)))
    return area


def _pca(
    positions_nm: npt.NDArray[np.float64], resolution_nm: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    rx, ry, rz = resolution_nm
    n = len(positions_nm)
    if n * rx * ry * rz < 1e7 or n < 3:
        return None
    fitted = PCA(3, svd_solver="full").fit(positions_nm)
    return fitted.components_, fitted.singular_values_ * min(1.0, np.sqrt(10_000 / n))


def oracle_features(labels: npt.NDArray[Any], resolution_nm: Sequence[float]) -> dict[int, NodeFeatures]:
    """Attributes of every label but 0, by label."""
    whole_nm = whole_distance_nm(labels, resolution_nm)
    nodes = {}
    for label in np.unique(labels):
        if label == 0:
            continue
        mask = labels == label
        coordinates = np.argwhere(mask)  # by x, then y, then z: the first of equal weights is the smallest
        distances = whole_nm[mask]
        positions_nm = coordinates * np.asarray(resolution_nm, np.float64)
        centred = positions_nm - positions_nm.mean(axis=0)
        best = int(np.argmax(weights(coordinates, distances, resolution_nm)))
        nodes[int(label)] = NodeFeatures(
            size_voxels=len(coordinates),
            area_nm2=_area_nm2(mask, resolution_nm),
            max_dt_nm=int(distances.max()),
            mean_dt_nm=int(distances.sum()) / len(distances),
            rep_coord=tuple(int(c) for c in coordinates[best]),  # type: ignore[arg-type]
            chunk_intersect_count=np.array(
                [(coordinates == 0).sum(axis=0), (coordinates == np.array(labels.shape) - 1).sum(axis=0)]
            ),
            scatter_nm2=centred.T @ centred,
            pca=_pca(positions_nm, resolution_nm),
        )
    return nodes
