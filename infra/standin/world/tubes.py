"""Neurites as voxels: every piece is painted as a tube, and where tubes meet the relatively nearer one wins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infra.standin.world.neurites import Pieces
from shared.types import Triple

# Two pieces of a neurite share the point where they meet: beyond it voxels are equally near to both, and rounding must
# not decide between them voxel by voxel.
TIE = np.float32(1e-3)

PieceVolume = npt.NDArray[np.uint32]


def paint(pieces: Pieces, size_voxels: Triple, resolution_nm: Triple) -> PieceVolume:
    """The volume of pieces.

    A voxel belongs to the piece to whose axis it is nearest, in radii of that piece; beyond one radius to none.

    Args:
      pieces: where the tubes are.
      size_voxels: extent of the volume, which starts at (0, 0, 0).
      resolution_nm: size of a voxel.

    Returns:
      uint32[x, y, z]: number of the piece from 1; 0 is background.
    """
    labels = np.zeros(size_voxels, dtype=np.uint32)
    nearest = np.ones(size_voxels, dtype=np.float32)
    voxel_nm = np.array(resolution_nm, dtype=np.float64)
    for number in range(len(pieces.radii_nm)):
        start, end, radius_nm = pieces.starts_nm[number], pieces.ends_nm[number], pieces.radii_nm[number]
        low = np.maximum(np.floor((np.minimum(start, end) - radius_nm) / voxel_nm).astype(int), 0)
        high = np.minimum(np.ceil((np.maximum(start, end) + radius_nm) / voxel_nm).astype(int) + 1, size_voxels)
        if (low >= high).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
        axes = [np.arange(a, b) * nm for a, b, nm in zip(low, high, voxel_nm, strict=True)]
        relative = _squared_distances(axes, start, end) * np.float32(1 / radius_nm**2)
        nearer = relative < nearest[box] - TIE
        np.copyto(nearest[box], relative, where=nearer)
        np.copyto(labels[box], np.uint32(number + 1), where=nearer)
    return labels


def _squared_distances(
    axes_nm: list[npt.NDArray[np.float64]], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Squared distance of each point of a grid to the line from start to end, in nm2: float32[x, y, z]."""
    offsets = [
        (axis - origin).astype(np.float32).reshape([-1 if i == j else 1 for j in range(3)])
        for i, (axis, origin) in enumerate(zip(axes_nm, start, strict=True))
    ]
    line = end - start
    length_nm = float(np.linalg.norm(line))
    x, y, z = offsets
    from_start = x * x + y * y + z * z
    if length_nm == 0:
        return np.asarray(from_start)
    # |p - (s + t u)|^2 = |p - s|^2 - 2 t ((p - s) u) + t^2 with t the foot of the perpendicular, kept within the line.
    u = (line / length_nm).astype(np.float32)
    along = x * u[0] + y * u[1] + z * u[2]
    foot = np.clip(along, np.float32(0), np.float32(length_nm))
    return np.asarray(from_start - foot * (2 * along - foot))
