"""The eight attributes once more: slow, plain, label by label, straight from their definition.

Independent of the engine: scipy and scikit-learn where they have the term, plain loops elsewhere. The distance is
defined "as the `edt` package computes it", so the floor of a distance that is a whole number of nanometres, or beyond
what float32 resolves, is what the wheel's float32 says; `exact_distance_nm` is the mathematical one, to check the wheel
itself. The wheel rounds per axis in the array's memory order; the order is fixed to Fortran's here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    native = np.asfortranarray(labels, labels.dtype.newbyteorder("="))
    distance = edt.edt(native, anisotropy=tuple(resolution_nm), black_border=False, parallel=1)
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


def _box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The part of a mask with voxels, and one more on each side where there is one: no face is lost or added."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(int(where[0]) - 1, 0), int(where[-1]) + 2))
    return box[0], box[1], box[2]


def oracle_features(
    labels: npt.NDArray[Any], resolution_nm: Sequence[float], node_ids: Iterable[int] | None = None
) -> dict[int, NodeFeatures]:
    """Attributes of every label but 0, or of those asked for that are there, by label."""
    whole_nm = whole_distance_nm(labels, resolution_nm)
    present = {int(label) for label in np.unique(labels)} - {0}
    wanted = present if node_ids is None else present & {int(node) for node in node_ids}
    return {label: _node(labels == label, whole_nm, resolution_nm) for label in wanted}


def _node(mask: npt.NDArray[np.bool_], whole_nm: npt.NDArray[np.int64], resolution_nm: Sequence[float]) -> NodeFeatures:
    box = _box(mask)
    coordinates = np.argwhere(mask[box]) + [part.start for part in box]
    distances = whole_nm[box][mask[box]]
    positions_nm = coordinates * np.asarray(resolution_nm, np.float64)
    centred = positions_nm - positions_nm.mean(axis=0)
    # argwhere goes by x, then y, then z, and argmax takes the first of equal weights: the smallest.
    x, y, z = coordinates[int(np.argmax(weights(coordinates, distances, resolution_nm)))]
    return NodeFeatures(
        size_voxels=len(coordinates),
        area_nm2=_area_nm2(mask[box], resolution_nm),
        max_dt_nm=int(distances.max()),
        mean_dt_nm=int(distances.sum()) / len(distances),
        rep_coord=(int(x), int(y), int(z)),
        chunk_intersect_count=np.array(
            [(coordinates == 0).sum(axis=0), (coordinates == np.array(mask.shape) - 1).sum(axis=0)]
        ),
        scatter_nm2=centred.T @ centred,
        pca=_pca(positions_nm, resolution_nm),
    )
