"""What was measured of nodes, and the `Features` that a table of attributes makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared.features import sums as column
from shared.features.pca import nodes_with_pca, principal_axes
from shared.features.result import Features

if TYPE_CHECKING:
    from shared.attributes import AttributeTable
    from shared.features.runs import LabelRuns


@dataclass(frozen=True, eq=False)
class NodeMeasures:
    """What was measured of the n nodes of a chunk that have voxels; axes and voxels are those of the chunk.

    Attributes:
      node_ids: uint64[n], ascending.
      resolution_nm: float64[3].
      voxels: [n], how many.
      surface_nm2: [n], of the faces towards other labels.
      max_distance_nm: [n], whole distances to the nearest voxel of another label: the largest.
      mean_distance_nm: [n], the same: the mean.
      inner_voxel: [n, 3], the representative one.
      voxels_on_faces: [n, 2, 3], on the chunk's [low, high] faces.
      has_axes: bool[n], whether a node is large enough to have principal axes.
      axes: [n, 3, 3], the principal axes as rows; zeros where there are none.
      spread_nm: [n, 3], singular values along them; zeros where there are none.
      labels: int64[n], the position of each node in the `ids` of the runs.
      runs: gives the chunk, for what is not measured here; its axes may be in another order.
    """

    node_ids: npt.NDArray[np.uint64]
    resolution_nm: npt.NDArray[np.float64]
    voxels: npt.NDArray[Any]
    surface_nm2: npt.NDArray[Any]
    max_distance_nm: npt.NDArray[Any]
    mean_distance_nm: npt.NDArray[Any]
    inner_voxel: npt.NDArray[Any]
    voxels_on_faces: npt.NDArray[Any]
    has_axes: npt.NDArray[np.bool_]
    axes: npt.NDArray[Any]
    spread_nm: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    runs: Callable[[], LabelRuns]


def sums_measures(
    runs: LabelRuns,
    sums: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    resolution_nm: npt.NDArray[np.float64],
) -> NodeMeasures:
    """Measures of all labels with voxels.

    Args:
      runs: the chunk, with k labels.
      sums: int64[k, COLUMNS], of each label, along the axes as they are called in the runs.
      keys: int64[k], representative voxels as x << 32 | y << 16 | z, likewise.
      resolution_nm: float64[3], of the chunk's axes.
    """
    present = np.flatnonzero(sums[:, column.COUNT])
    order = present[np.argsort(runs.ids[present])]
    sums, keys = sums[order], keys[order]
    count = sums[:, column.COUNT]
    chunk_axes = np.argsort(runs.axes)
    low = sums[:, column.LOW_X : column.LOW_Z + 1]
    high = sums[:, column.HIGH_X : column.HIGH_Z + 1]
    voxels = np.stack([keys >> 32, keys >> 16 & 0xFFFF, keys & 0xFFFF], axis=1)
    has_axes = nodes_with_pca(count, resolution_nm)
    axes, spread_nm = np.zeros((len(order), 3, 3), np.float16), np.zeros((len(order), 3), np.float32)
    if np.any(has_axes):
        axes[has_axes], spread_nm[has_axes] = _axes(sums[has_axes], runs.axes, resolution_nm)
    return NodeMeasures(
        node_ids=runs.ids[order],
        resolution_nm=resolution_nm,
        voxels=count,
        surface_nm2=_surface_nm2(sums, resolution_nm[list(runs.axes)]),
        max_distance_nm=sums[:, column.MAX_DT],
        mean_distance_nm=sums[:, column.SUM_DT] / count,
        inner_voxel=voxels[:, chunk_axes],
        voxels_on_faces=np.stack([low, high], axis=1)[..., chunk_axes],
        has_axes=has_axes,
        axes=axes,
        spread_nm=spread_nm,
        labels=order,
        runs=lambda: runs,
    )


def stored_features(measures: NodeMeasures, table: AttributeTable) -> Features:
    """The columns of a table's attributes, as they are stored."""
    columns: dict[str, npt.NDArray[Any]] = {a.name: saturated(a.compute(measures), a.dtype) for a in table}
    columns.update({mask.name: mask.compute(measures) for mask in table.masks})
    return Features(measures.node_ids, columns, table)


def saturated(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Values in another type; those beyond its largest become that."""
    if np.can_cast(values.dtype, dtype):
        return values.astype(dtype, copy=False)
    largest = np.iinfo(dtype).max if dtype.kind in "iu" else np.finfo(dtype).max
    if values.dtype.kind in "iu":
        largest = min(largest, np.iinfo(values.dtype).max)
    return np.asarray(np.minimum(values, largest).astype(dtype))


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


def _surface_nm2(sums: npt.NDArray[np.int64], resolution_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Surface: of the two sides of each run (along x) or voxel (y, z), those neither outside nor shared."""
    rx, ry, rz = resolution_nm
    count = sums[:, column.COUNT]
    outside = sums[:, column.LOW_X : column.LOW_Z + 1] + sums[:, column.HIGH_X : column.HIGH_Z + 1]
    faces_x = 2 * sums[:, column.RUNS] - outside[:, 0]
    faces_y = 2 * (count - sums[:, column.PAIRS_Y]) - outside[:, 1]
    faces_z = 2 * (count - sums[:, column.PAIRS_Z]) - outside[:, 2]
    return np.asarray(faces_x * (ry * rz) + faces_y * (rx * rz) + faces_z * (rx * ry))
