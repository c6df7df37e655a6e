"""What a precomputed volume's info says of its files.

Source: https://github.com/google/neuroglancer/tree/master/src/datasource/precomputed (volume.md, sharded.md)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.types import Triple


def file_size_voxels(scale: Mapping[str, Any]) -> Triple:
    """Extent in voxels of what one file of a scale holds: a storage chunk, or the box of a shard.

    In a sharded scale a file holds storage chunks that follow each other in compressed Morton order, a power of two of
    them: a box. Where they are hashed first, only the chunks that share a hash are neighbours.

    Args:
      scale: an entry of `scales` in the info.

    Raises:
      KeyError, TypeError, ValueError: if there is no usable `chunk_sizes` or `sharding`.
    """
    x, y, z = (int(size) for size in scale["chunk_sizes"][0])
    sharding = scale.get("sharding")
    if not sharding:
        return x, y, z
    bits = int(sharding["preshift_bits"])
    if sharding["hash"] == "identity":
        bits += int(sharding["minishard_bits"])
    grid = [-(-int(size) // chunk) for size, chunk in zip(scale["size"], (x, y, z), strict=True)]
    a, b, c = _morton_box(grid, bits)
    return x * a, y * b, z * c


def _morton_box(grid: list[int], bits: int) -> Triple:
    """Extent of the first `2**bits` cells of a grid in compressed Morton order, without regard to the grid's end."""
    box = [1, 1, 1]
    while bits > 0 and any(box[axis] < grid[axis] for axis in range(3)):
        for axis in range(3):
            if bits > 0 and box[axis] < grid[axis]:
                box[axis] *= 2
                bits -= 1
    return box[0], box[1], box[2]
