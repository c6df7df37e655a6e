"""Principal axes of many nodes at once, from their exact sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SMALLEST_VOLUME_NM3 = 1e7  # 0.01 um3
SAMPLE_VOXELS = 10_000  # PCGL2Cache fits larger nodes to a sample of this size, which scales their singular values


def nodes_with_pca(
    count: npt.NDArray[np.integer[Any]], resolution_nm: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Which nodes, of `count` voxels each, are large enough to have principal axes."""
    rx, ry, rz = resolution_nm
    return np.asarray((count * rx * ry * rz >= SMALLEST_VOLUME_NM3) & (count >= 3))


def principal_axes(
    count: npt.NDArray[np.int64],
    sums: npt.NDArray[np.int64],
    squares: npt.NDArray[np.int64],
    resolution_nm: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What `sklearn.decomposition.PCA(3)` finds for the voxels' positions in nm.

    Args:
      count: int64[n], voxels of each node.
      sums: int64[n, 3], sums of x, y, z in voxels.
      squares: int64[n, 6], sums of xx, yy, zz, xy, xz, yz.
      resolution_nm: float64[3].

    Returns:
      float64[n, 3, 3], axes as rows by decreasing variance, each with its largest component positive;
      float64[n, 3], singular values, scaled down to those of a sample of 10,000 voxels where there are more.
    """
    # Around the voxel nearest to the centroid all terms but the last are exact integers, and the last is small.
    origin = (2 * sums + count[:, None]) // (2 * count[:, None])
    rest = sums - origin * count[:, None]
    scatter = np.empty((len(count), 3, 3))
    for column, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
        moved = squares[:, column] - origin[:, i] * sums[:, j] - origin[:, j] * sums[:, i]
        moved += origin[:, i] * origin[:, j] * count
        centred = moved - rest[:, i] * rest[:, j] / count
        scatter[:, i, j] = scatter[:, j, i] = centred * (resolution_nm[i] * resolution_nm[j])
    variances, columns = np.linalg.eigh(scatter)
    axes = np.swapaxes(columns, 1, 2)[:, ::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=2)[..., None], axis=2)
    values = np.sqrt(np.maximum(variances[:, ::-1], 0) * np.minimum(1, SAMPLE_VOXELS / count)[:, None])
    return axes * np.sign(largest), values
