"""What a chunk costs in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

VOXELS_PER_RUN = 4  # tissue has 15 to 30 of 4 to 16 nm
VOXELS_PER_LABEL = 256  # tissue has tens of thousands

_RUN_BYTES = 2 + 4  # end, label
_LABEL_BYTES = 21 * 8 + 3 * 8 + 8 + 2 * 8 + 69  # sums, centroid, extent, best voxel; a row of `Features`
_SLAB_BYTES = 16 * (4 + 4)  # of a row: squared distances and labels of sixteen voxels
_COLUMN_BYTES = 16 * 4 * 8  # of a row: labels and squared distances of the planes that are in work


def chunk_memory_bytes(
    shape: Sequence[int],
    label_bytes: int = 4,
    threads: int = 1,
    runs: int | None = None,
    labels: int | None = None,
) -> int:
    """Upper bound of the bytes that the features of a chunk take, the labels themselves included.

    The interpreter and its libraries come on top (about 150 MB). The bound holds for arrays whose strides are positive,
    integral and fractional resolutions, and `supervoxel_features`.

    Args:
      shape: of the chunk, in voxels.
      label_bytes: bytes per label.
      threads: how many threads are used.
      runs: most runs of equal labels along x; one per `VOXELS_PER_RUN` voxels, many times that of tissue, if None.
      labels: most labels; one per `VOXELS_PER_LABEL` voxels, many times that of tissue, if None.
    """
    voxels = math.prod(int(size) for size in shape)
    width = int(shape[0])
    rows = voxels // max(width, 1)
    if runs is None:
        runs = voxels // VOXELS_PER_RUN + rows
    if labels is None:
        labels = voxels // VOXELS_PER_LABEL + 1
    volumes = voxels * (label_bytes + 4)  # the array; of noise also distances
    growing = 4 * runs * _RUN_BYTES  # while run lists grow threefold the old ones are there too, or a mapped copy
    numbering = 16 * (4 * labels + 1024 + width)  # ids and the table by their hashes
    per_label = (threads + 2) * labels * _LABEL_BYTES
    longest = max(int(size) for size in shape) if voxels else 0
    slab = _SLAB_BYTES * (rows + longest)  # it has a row more along z than the chunk
    columns = _COLUMN_BYTES * (longest + 2**9)
    return volumes + growing + rows * (16 + 8 * threads) + threads * (numbering + slab + columns) + per_label + 2**20
