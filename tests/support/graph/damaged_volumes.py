"""Files of a made volume that are damaged in such a way that reading them ends the process."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

from isal import igzip

from infra.standin.world.parameters import WorldParameters
from shared.types import Triple


def file_of(world: Path, parameters: WorldParameters, chunk: Triple) -> Path:
    """The file of the volume that holds a chunk, in a world whose files hold one each and that is not cut off."""
    axes = zip(parameters.voxel_offset, chunk, parameters.chunk_size_voxels, strict=True)
    name = "_".join(f"{offset + c * size}-{offset + (c + 1) * size}" for offset, c, size in axes)
    return world / "watershed" / "_".join(map(str, parameters.resolution_nm)) / f"{name}.gz"


def crashing() -> bytes:
    """The content of a file whose decoder reads beyond its end, and dies of it."""
    return gzip.compress(random.Random(1).randbytes(5000))


def bursting(n_bytes: int) -> bytes:
    """The content of a small file that unpacks to so many bytes."""
    return bytes(igzip.compress(bytes(n_bytes), 0))
