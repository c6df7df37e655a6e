"""Files of a made volume that are damaged, also in such a way that reading them ends the process."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
from isal import igzip

from infra.standin.world.parameters import WorldParameters
from shared.types import Triple


def file_of(world: Path, parameters: WorldParameters, chunk: Triple) -> Path:
    """The file of the volume that holds a chunk, in a world whose files hold one each and that is not cut off."""
    axes = zip(parameters.voxel_offset, chunk, parameters.chunk_size_voxels, strict=True)
    name = "_".join(f"{offset + c * size}-{offset + (c + 1) * size}" for offset, c, size in axes)
    return world / "watershed" / "_".join(map(str, parameters.resolution_nm)) / f"{name}.gz"


def noise() -> bytes:
    """The content of a file in which nothing is what it should be; CloudVolume's decoder dies of it."""
    return gzip.compress(random.Random(1).randbytes(5000))


def put_into_shards(world: Path, parameters: WorldParameters) -> None:
    """Puts each file of a world's volume into a shard of its own, as it is: those CloudVolume's decoder reads."""
    from cloudvolume.datasource.precomputed.common import compressed_morton_code
    from cloudvolume.datasource.precomputed.sharding import ShardingSpecification

    one_each = {"preshift_bits": 0, "minishard_bits": 0, "shard_bits": 8}
    forms = {"hash": "identity", "minishard_index_encoding": "raw", "data_encoding": "gzip"}
    sharding = {"@type": "neuroglancer_uint64_sharded_v1", **one_each, **forms}
    info_file = world / "watershed" / "info"
    info = json.loads(info_file.read_text())
    info["scales"][0]["sharding"] = sharding
    info_file.write_text(json.dumps(info))
    specification = ShardingSpecification.from_dict(sharding)
    for chunk in np.ndindex(parameters.grid_shape):
        file = file_of(world, parameters, chunk)
        if file.exists():
            number = int(compressed_morton_code(chunk, parameters.grid_shape))
            shards = specification.synthesize_shards({number: gzip.decompress(file.read_bytes())})
            for name, content in shards.items():
                (file.parent / name).write_bytes(content)
            file.unlink()


def bursting(n_bytes: int) -> bytes:
    """The content of a small file that unpacks to so many bytes."""
    return bytes(igzip.compress(bytes(n_bytes), 0))
