from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError, OutsideVolumeError, VolumeUnavailableError
from shared.geometry.grid import GraphGeometry
from shared.types import Triple
from shared.volume.cloudvolume import CloudVolumeReader, Volumes
from shared.volume.failures import cause_of
from tests.support.graph.servers import DATA, needs_data

OFFSET: Triple = (5, -3, 7)
SIZE: Triple = (20, 17, 9)
STORED: Triple = (8, 8, 4)


def geometry(data_dir: str, chunk: Triple = (8, 8, 4), **changes: Any) -> GraphGeometry:
    scale = {"resolution": [8, 8, 40], "size": SIZE, "voxel_offset": OFFSET}
    graph = {"chunk_size": chunk, "spatial_bit_masks": {"1": 10, "2": 10}, "cv_mip": 0}
    return GraphGeometry.from_info({"data_dir": data_dir, "graph": graph, "scales": [scale], **changes})


def supervoxels(dtype: str = "uint64") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, SIZE).astype(dtype)


def store_volume(folder: Path, labels: np.ndarray, encoding: str = "compressed_segmentation") -> str:
    from cloudvolume import CloudVolume

    address = f"file://{folder}"
    CloudVolume.from_numpy(
        labels,
        vol_path=address,
        resolution=(8, 8, 40),
        voxel_offset=OFFSET,
        chunk_size=STORED,
        layer_type="segmentation",
        encoding=encoding,
        progress=False,
    )
    return address


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_volume(tmp_path_factory.mktemp("volume"), supervoxels())


@settings(max_examples=30, deadline=None)
@given(chunk=st.tuples(st.integers(1, 21), st.integers(1, 18), st.integers(1, 10)), data=st.data())
def test_every_chunk_is_its_part_of_the_volume_with_zeros_beyond_the_end(
    stored: str, chunk: Triple, data: st.DataObject
) -> None:
    place = geometry(stored, chunk)
    coordinate = data.draw(st.tuples(*(st.integers(0, n - 1) for n in place.grid_shape)))
    padded = np.pad(supervoxels(), [(0, c) for c in chunk])
    box = tuple(slice(c * n, (c + 1) * n) for c, n in zip(coordinate, chunk, strict=True))
    voxels = Volumes().get(place).read_chunk(coordinate)
    assert type(voxels) is np.ndarray
    assert voxels.dtype == np.uint64
    assert voxels.flags.f_contiguous
    np.testing.assert_array_equal(voxels, padded[box])


def test_absent_files_are_zeros(tmp_path: Path) -> None:
    address = store_volume(tmp_path, supervoxels())
    expected = supervoxels()
    expected[:8, :8, :4] = 0
    (absent,) = tmp_path.rglob("5-13_-3-5_7-11*")
    absent.unlink()
    voxels = CloudVolumeReader(geometry(address, SIZE)).read_chunk((0, 0, 0))
    np.testing.assert_array_equal(voxels, expected)


def test_smaller_labels_are_widened(tmp_path: Path) -> None:
    voxels = CloudVolumeReader(geometry(store_volume(tmp_path, supervoxels("uint32")), SIZE)).read_chunk((0, 0, 0))
    assert voxels.dtype == np.uint64
    np.testing.assert_array_equal(voxels, supervoxels())


def test_many_threads_can_read_one_volume(stored: str) -> None:
    reader = CloudVolumeReader(geometry(stored))
    coordinates = [*np.ndindex(geometry(stored).grid_shape)] * 4
    alone = {coordinate: CloudVolumeReader(geometry(stored)).read_chunk(coordinate) for coordinate in coordinates}
    with ThreadPoolExecutor(8) as executor:
        together = list(executor.map(reader.read_chunk, coordinates))
    for coordinate, voxels in zip(coordinates, together, strict=True):
        np.testing.assert_array_equal(voxels, alone[coordinate])


def test_a_chunk_outside_the_grid_is_refused(stored: str) -> None:
    with pytest.raises(OutsideVolumeError, match=r"\(3, 0, 0\)"):
        CloudVolumeReader(geometry(stored)).read_chunk((3, 0, 0))


def damage(folder: Path, content: bytes) -> None:
    (damaged,) = folder.rglob("5-13_-3-5_7-11*")
    damaged.write_bytes(content)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x1f\x8b not gzip", "DeflateError"),
        (b"", "DecompressionError"),
        (gzip.compress(b"odd", mtime=0), "ValueError"),
    ],
)
@pytest.mark.parametrize("chunk", [STORED, SIZE], ids=["one file a chunk", "many files a chunk"])
def test_a_file_that_is_broken_is_named_and_the_others_are_read(
    tmp_path: Path, content: bytes, kind: str, chunk: Triple
) -> None:
    address = store_volume(tmp_path, supervoxels(), "raw")
    damage(tmp_path, content)
    reader = CloudVolumeReader(geometry(address, chunk))
    with pytest.raises(VolumeUnavailableError) as caught:
        reader.read_chunk((0, 0, 0))
    assert f"(8_8_40/5-13_-3-5_7-11, {kind})" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert CloudVolumeReader(geometry(address)).read_chunk((1, 0, 0)).any()


def test_of_a_signed_address_only_the_file_is_told() -> None:
    class Refused:
        class meta:  # noqa: N801  # as CloudVolume calls it
            key = staticmethod(lambda _: "8_8_40")
            scale = staticmethod(lambda _: {"sharding": {}})

    url = "https://host.example/bucket/8_8_40/5-13_-3-5_7-11?X-Goog-Signature=secret"
    told = cause_of(Refused, geometry("file:///nowhere"), (0, 0, 0), OSError(f"403 Forbidden for {url}"))
    assert told == "8_8_40/5-13_-3-5_7-11, OSError"


@pytest.mark.parametrize(
    "address", ["file:///nowhere/at/all", "nonsense://a/b", "nowhere", "graphene+nonsense://https://x"]
)
def test_a_volume_that_is_not_there_is_a_configuration_error_without_its_path(address: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CloudVolumeReader(geometry(address)).read_chunk((0, 0, 0))
    assert "nowhere" not in str(caught.value)


def test_images_are_no_supervoxels(tmp_path: Path) -> None:
    from cloudvolume import CloudVolume

    floats = np.zeros(SIZE, dtype=np.float32)
    address = f"file://{tmp_path}"
    CloudVolume.from_numpy(floats, vol_path=address, voxel_offset=OFFSET, layer_type="image", progress=False)
    with pytest.raises(ConfigurationError, match="supervoxels"):
        CloudVolumeReader(geometry(address)).read_chunk((0, 0, 0))


def test_a_volume_whose_info_cannot_be_read_is_unavailable_until_it_can(tmp_path: Path) -> None:
    address = store_volume(tmp_path, supervoxels())
    info = (tmp_path / "info").read_bytes()
    (tmp_path / "info").write_bytes(info[:20])
    reader = CloudVolumeReader(geometry(address))
    with pytest.raises(VolumeUnavailableError):
        reader.read_chunk((0, 0, 0))
    (tmp_path / "info").write_bytes(info)
    assert reader.read_chunk((0, 0, 0)).any()


def test_a_volume_is_opened_once() -> None:
    volumes = Volumes()
    assert volumes.get(geometry("file:///a")) is volumes.get(geometry("file:///a"))
    assert volumes.get(geometry("file:///a")) is not volumes.get(geometry("file:///b"))


@needs_data
def test_the_real_volume_has_as_many_supervoxels_as_its_description_says() -> None:
    info = json.loads((DATA / "graphene_info.json").read_text())
    place = GraphGeometry.from_info({**info, "data_dir": f"file://{DATA / 'watershed'}"})
    reader = Volumes().get(place)
    chunks = {coordinate: reader.read_chunk(coordinate) for coordinate in np.ndindex(place.grid_shape)}
    assert not chunks[3, 3, 7].any()
    assert {voxels.shape for voxels in chunks.values()} == {place.chunk_size_voxels}
    distinct = np.unique(np.concatenate([np.unique(voxels) for voxels in chunks.values()]))
    assert len(distinct) - 1 == 61_465
