import pytest

from shared.geometry.grid import GraphGeometry
from shared.geometry.precomputed import file_size_voxels
from shared.types import Triple

SHARDING = {"@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 6, "minishard_bits": 3, "shard_bits": 9}


def scale(**fields: object) -> dict[str, object]:
    return {"chunk_sizes": [[64, 64, 32]], "size": [4096, 4096, 64], "resolution": [8, 8, 40], **fields}


@pytest.mark.parametrize(
    ("sharding", "size"),
    [
        (None, (64, 64, 32)),
        # x, y and z take turns until z, which has two chunks only, is used up
        ({**SHARDING, "hash": "identity"}, (64 * 16, 64 * 16, 32 * 2)),
        ({**SHARDING, "hash": "murmurhash3_x86_128"}, (64 * 8, 64 * 4, 32 * 2)),
        ({**SHARDING, "preshift_bits": 60, "hash": "identity"}, (4096, 4096, 64)),
    ],
)
def test_a_file_holds_a_storage_chunk_or_a_shard(sharding: object, size: Triple) -> None:
    assert file_size_voxels(scale(sharding=sharding)) == size


@pytest.mark.parametrize(("chunk", "per_file"), [((256, 256, 512), (4, 4, 1)), ((96, 1024, 64), (32, 1, 1))])
def test_borders_of_chunks_and_files_meet_after_some_chunks(chunk: Triple, per_file: Triple) -> None:
    graph = {"chunk_size": chunk, "spatial_bit_masks": {"2": 10}}
    scales = [scale(sharding={**SHARDING, "hash": "identity"})]
    geometry = GraphGeometry.from_info({"data_dir": "memory", "graph": graph, "scales": scales})
    assert geometry.chunks_per_file == per_file
