"""Runs that are read from files, against those of the voxels that CloudVolume reads."""

from __future__ import annotations

import random
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import CorruptFileError, VolumeUnavailableError
from shared.features.api import supervoxel_runs
from shared.geometry.grid import Box, GraphGeometry, as_triple
from shared.types import Triple
from shared.volume.cloudvolume import CloudVolumeReader
from shared.volume.segmentation_files import SegmentationFiles
from tests.support.features.volumes import KINDS
from tests.support.graph.servers import running

RESOLUTION_NM = (8, 8, 40)
SIZE: Triple = (20, 17, 9)
OFFSET: Triple = (5, -3, 7)


@dataclass(frozen=True, eq=False)
class Written:
    """A volume that CloudVolume wrote.

    Attributes:
      folder: where.
      volume: CloudVolume, that reads it as the service does.
    """

    folder: Path
    volume: Any

    def files(self) -> SegmentationFiles:
        """Its files, which are such that runs can be read from them."""
        files = SegmentationFiles.of(self.volume, 0)
        assert files is not None
        return files

    def voxels(self, box: Box) -> npt.NDArray[Any]:
        """What CloudVolume reads."""
        from cloudvolume import Bbox

        return np.asarray(self.volume.download(Bbox(box.start, box.stop)))[..., 0]


def write(
    folder: Path, labels: npt.NDArray[Any], offset: Triple = OFFSET, compress: str | bool = "gzip", **scale: Any
) -> Written:
    """Writes labels; `scale` is what differs in the info's description of the scale."""
    from cloudvolume import CloudVolume

    described = {
        "chunk_sizes": [[8, 8, 4]],
        "compressed_segmentation_block_size": [8, 8, 8],
        "encoding": "compressed_segmentation",
        "key": "8_8_40",
        "resolution": RESOLUTION_NM,
        "size": labels.shape,
        "voxel_offset": offset,
        **scale,
    }
    kind = {"type": "segmentation", "data_type": str(labels.dtype), "num_channels": 1}
    options = {"cloudpath": f"file://{folder}", "bounded": False, "fill_missing": True, "progress": False}
    writer = CloudVolume(info={**kind, "scales": [described]}, compress=compress, **options)
    writer.commit_info()
    writer[tuple(slice(low, low + n) for low, n in zip(offset, labels.shape, strict=True))] = labels[..., np.newaxis]
    return Written(folder, CloudVolume(**options))


def supervoxels(seed: int = 0) -> npt.NDArray[np.uint64]:
    return np.asfortranarray(np.random.default_rng(seed).integers(0, 200, SIZE, dtype=np.uint64))


def box_at(start: Triple, size: Triple) -> Box:
    return Box(start, as_triple(low + n for low, n in zip(start, size, strict=True)))


def geometry(folder: Path, chunk: Triple = SIZE) -> GraphGeometry:
    scale = {"resolution": RESOLUTION_NM, "size": SIZE, "voxel_offset": OFFSET}
    graph = {"chunk_size": chunk, "spatial_bit_masks": {"1": 10, "2": 10}, "cv_mip": 0}
    return GraphGeometry.from_info({"data_dir": f"file://{folder}", "graph": graph, "scales": [scale]})


def triples(least: int, most: int) -> st.SearchStrategy[Triple]:
    return st.tuples(*[st.integers(least, most)] * 3)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=triples(1, 20), offset=triples(-30, 30), stored=triples(1, 16), block=triples(1, 9))
def test_runs_are_those_of_the_voxels_that_cloudvolume_reads(
    data: st.DataObject, size: Triple, offset: Triple, stored: Triple, block: Triple
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    labels = data.draw(st.sampled_from(KINDS))(rng, size).astype(np.uint64)
    labels = labels.astype(np.uint32) if data.draw(st.booleans()) else labels * np.uint64(0x1234567891011)
    compress = data.draw(st.sampled_from(["gzip", False, "br", "zstd"]))
    stored = as_triple(max(file, -(-extent // 4)) for file, extent in zip(stored, size, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        written = write(
            Path(folder), labels, offset, compress, chunk_sizes=[stored], compressed_segmentation_block_size=block
        )
        for file in Path(folder, "8_8_40").iterdir():
            if data.draw(st.integers(0, 7)) == 0:
                file.unlink()
        files = written.files()
        for _ in range(4):
            box = box_at(data.draw(triples(-40, 50)), data.draw(triples(2, 30)))
            if data.draw(st.booleans()):
                box = box_at(as_triple(low + data.draw(st.integers(-9, 9)) for low in offset), box.shape)
            runs, voxels = files.read_runs(box), written.voxels(box)
            assert runs is not None
            np.testing.assert_array_equal(runs.ids[runs.dense()], voxels)
            assert runs.labels().tolist() == np.unique(voxels[voxels != 0]).tolist()


@pytest.mark.parametrize(
    "scale",
    [{"encoding": "raw"}, {"encoding": "crackle"}, {"chunk_sizes": [[8, 8, 4]]}],
    ids=["raw", "crackle", "compressed_segmentation"],
)
@pytest.mark.parametrize("chunk", [(8, 8, 4), SIZE, (1, 17, 9)])
def test_every_chunk_of_a_volume_of_any_kind_has_the_runs_of_its_voxels(
    tmp_path: Path, scale: dict[str, Any], chunk: Triple
) -> None:
    write(tmp_path, supervoxels(), **scale)
    reader = CloudVolumeReader(geometry(tmp_path, chunk))
    for coordinate in np.ndindex(geometry(tmp_path, chunk).grid_shape):
        runs, expected = reader.read_runs(coordinate), supervoxel_runs(reader.read_chunk(coordinate))
        assert (runs.axes, runs.shape) == (expected.axes, expected.shape)
        np.testing.assert_array_equal(runs.ids[runs.dense()], expected.ids[expected.dense()])


@pytest.mark.parametrize(
    "scale",
    [
        {"encoding": "raw"},
        {"encoding": "crackle"},
        {
            "sharding": {
                "@type": "neuroglancer_uint64_sharded_v1",
                "hash": "identity",
                "preshift_bits": 0,
                "minishard_bits": 0,
                "shard_bits": 6,
                "minishard_index_encoding": "gzip",
                "data_encoding": "gzip",
            }
        },
        {"compressed_segmentation_block_size": [1 << 10, 1 << 10, 2]},
    ],
    ids=["raw", "crackle", "sharded", "huge blocks"],
)
def test_what_tells_no_runs_is_left_to_cloudvolume(tmp_path: Path, scale: dict[str, Any]) -> None:
    written = write(tmp_path, supervoxels())
    written.volume.meta.scale(0).update(scale)
    assert SegmentationFiles.of(written.volume, 0) is None


def test_many_threads_can_read_one_volume(tmp_path: Path) -> None:
    write(tmp_path, supervoxels())
    place = geometry(tmp_path, (8, 8, 4))
    reader = CloudVolumeReader(place)
    coordinates = [*np.ndindex(place.grid_shape)] * 4
    with ThreadPoolExecutor(8) as executor:
        together = list(executor.map(reader.read_runs, coordinates))
    for coordinate, runs in zip(coordinates, together, strict=True):
        np.testing.assert_array_equal(runs.ids[runs.dense()], reader.read_chunk(coordinate))


def test_files_that_are_far_away_are_fetched_many_at_a_time(tmp_path: Path) -> None:
    write(tmp_path, supervoxels(), compress=False)
    (tmp_path / "8_8_40" / "5-13_-3-5_7-11").unlink()
    expected = supervoxels()
    expected[:8, :8, :4] = 0
    with running(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))) as url:
        runs = CloudVolumeReader(replace(geometry(tmp_path), data_dir=url)).read_runs((0, 0, 0))
    np.testing.assert_array_equal(runs.ids[runs.dense()], expected)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.mark.parametrize("compress", ["gzip", False])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_file_that_is_damaged_is_named_or_read_as_other_labels(
    tmp_path_factory: pytest.TempPathFactory, compress: str | bool, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged", numbered=True)
    write(folder, supervoxels(seed), compress=compress)
    chance = random.Random(seed)
    file = chance.choice(sorted((folder / "8_8_40").iterdir()))
    file.write_bytes(damaged(file.read_bytes(), chance))
    told = ""
    try:
        runs = CloudVolumeReader(geometry(folder)).read_runs((0, 0, 0))
    except CorruptFileError as error:
        told = str(error)
    else:
        assert runs.dense().shape == SIZE
    assert not told or f"file 8_8_40/{file.name.removesuffix('.gz')} is damaged" in told
    shutil.rmtree(folder)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file that is cut off, has flipped bits, or is noise."""
    match chance.randrange(3):
        case 0:
            return content[: chance.randrange(1, len(content))]
        case 1:
            changed = bytearray(content)
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            return bytes(changed)
        case _:
            return chance.randbytes(chance.randrange(1, 2 * len(content)))


@pytest.mark.parametrize("content", [b"\x1f\x8b not gzip", b"", b"neither"])
def test_a_file_that_is_no_gzip_is_corrupt(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, supervoxels())
    (tmp_path / "8_8_40" / "5-13_-3-5_7-11.gz").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"8_8_40/5-13_-3-5_7-11 is damaged \(\w+Error\)"):
        CloudVolumeReader(geometry(tmp_path)).read_runs((0, 0, 0))
    assert len(CloudVolumeReader(geometry(tmp_path, (8, 8, 4))).read_runs((1, 0, 0)).labels())


def test_a_file_that_cannot_be_fetched_is_named(tmp_path: Path) -> None:
    write(tmp_path, supervoxels(), compress=False)
    file = tmp_path / "8_8_40" / "5-13_-3-5_7-11"
    file.unlink()
    file.mkdir()
    with pytest.raises(
        VolumeUnavailableError, match=r"8_8_40/5-13_-3-5_7-11 cannot be read just now \(\w+\)"
    ) as caught:
        CloudVolumeReader(geometry(tmp_path)).read_runs((0, 0, 0))
    assert not isinstance(caught.value, CorruptFileError)
    assert str(tmp_path) not in str(caught.value)


def test_outside_the_regions_that_an_info_names_there_is_background_as_in_cloudvolume(tmp_path: Path) -> None:
    written = write(tmp_path, supervoxels(), rois=[[5, -3, 7, 9, 1, 9]])
    assert "rois" in written.volume.meta.scale(0)
    reader, place = CloudVolumeReader(geometry(tmp_path, (8, 8, 4))), geometry(tmp_path, (8, 8, 4))
    filled = set()
    for coordinate in np.ndindex(place.grid_shape):
        runs, voxels = reader.read_runs(coordinate), reader.read_chunk(coordinate)
        np.testing.assert_array_equal(runs.ids[runs.dense()], voxels)
        filled |= {coordinate} if voxels.any() else set()
    assert filled == {(0, 0, 0)}
