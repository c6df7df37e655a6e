"""Runs of files of compressed_segmentation against those of the voxels in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import compressed_segmentation
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.features.api import supervoxel_features, supervoxel_runs
from shared.features.blocks import BlockRuns, DamagedFileError
from shared.features.runs import LabelRuns
from shared.geometry.file_grid import FileGrid
from shared.geometry.grid import Box, as_triple
from shared.types import Triple
from tests.support.features.agreement import differing_columns
from tests.support.features.volumes import KINDS

ROOT = Path(__file__).parents[3]
RESOLUTION_NM = (16, 16, 40)


@dataclass(frozen=True, eq=False)
class Stored:
    """A volume in files, and a box of it.

    Attributes:
      voxels: labels of the whole volume, which starts at (0, 0, 0).
      file: extent of files.
      block: extent of blocks.
      box: what is read; it may reach beyond the volume.
    """

    voxels: npt.NDArray[Any]
    file: Triple
    block: Triple
    box: Box

    def runs(self, change: Callable[[bytes], bytes] = bytes) -> LabelRuns:
        """Runs of the box, from files that are changed first."""
        grid = FileGrid(Box((0, 0, 0), as_triple(self.voxels.shape)), self.file)
        x_spans, y_spans, z_spans = (grid.spans(self.box, axis) for axis in range(3))
        found = BlockRuns(self.box.shape, self.block, self.voxels.itemsize)
        for z in z_spans:
            for y in y_spans:
                files = [grid.file(self.box, (x, y, z)) for x in x_spans]
                found.add([change(self.content(file)) if file else b"" for file in files], x_spans, y, z)
        return found.runs()

    def content(self, held: Box) -> bytes:
        """The file that holds a box."""
        part = self.voxels[tuple(map(slice, held.start, held.stop))].copy(order="F")
        return bytes(compressed_segmentation.compress(part, block_size=self.block, order="F"))

    def cut(self) -> npt.NDArray[Any]:
        """Labels of the box, 0 outside the volume."""
        cut = np.zeros(self.box.shape, self.voxels.dtype, order="F")
        inside = self.box.intersection(Box((0, 0, 0), as_triple(self.voxels.shape)))
        if inside.volume:
            axes = list(zip(inside.start, inside.stop, self.box.start, strict=True))
            to = tuple(slice(start - low, stop - low) for start, stop, low in axes)
            cut[to] = self.voxels[tuple(slice(start, stop) for start, stop, _ in axes)]
        return cut


def triples(least: int, most: int) -> st.SearchStrategy[Triple]:
    return st.tuples(*[st.integers(least, most)] * 3)


@st.composite
def stored(draw: st.DrawFn, blocks: st.SearchStrategy[Triple] = triples(1, 9)) -> Stored:  # noqa: B008  # immutable
    """Volumes of any kind in small files, and boxes that may lie anywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, start, extent = draw(triples(1, 24)), draw(triples(-5, 20)), draw(triples(1, 24))
    labels = draw(st.sampled_from(KINDS))(rng, size).astype(np.uint64)
    if draw(st.booleans()):
        labels = labels.astype(np.uint32)
    else:
        labels *= np.uint64(0x1234567891011)
    stop = as_triple(low + length for low, length in zip(start, extent, strict=True))
    return Stored(np.asfortranarray(labels), draw(triples(1, 16)), draw(blocks), Box(start, stop))


@settings(max_examples=300, deadline=None)
@given(stored(st.just((8, 8, 8)) | triples(1, 9)))
def test_runs_are_those_of_the_voxels(volume: Stored) -> None:
    labels = volume.cut()
    found, expected = volume.runs(), supervoxel_runs(labels)
    np.testing.assert_array_equal(found.ids[found.dense()], labels)
    assert found.labels().tolist() == np.unique(labels[labels != 0]).tolist()
    assert len(found.ids) == len(np.unique(found.ids))
    if expected.axes == found.axes:
        np.testing.assert_array_equal(np.diff(found.ranges, axis=0), np.diff(expected.ranges, axis=0))
    ids = expected.labels()
    nodes = ids // np.uint64(2)
    assert differing_columns(
        supervoxel_features(found, ids, nodes, RESOLUTION_NM), supervoxel_features(expected, ids, nodes, RESOLUTION_NM)
    ) == []  # fmt: skip


@pytest.mark.parametrize("labels", [1, 2, 3, 4, 5, 16, 17, 256, 257, 40_000])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_blocks_of_few_labels_and_of_many_are_read(labels: int, dtype: type[np.generic]) -> None:
    voxels = np.random.default_rng(labels).integers(0, labels, (64, 40, 40)).astype(dtype)
    volume = Stored(np.asfortranarray(voxels), (64, 64, 64), (64, 32, 32), Box((3, 2, 1), (64, 40, 40)))
    found = volume.runs()
    np.testing.assert_array_equal(found.ids[found.dense()], volume.cut())


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A file that is cut off, or has words that are something else."""
    words = np.frombuffer(content, np.uint32).copy()
    if rng.random() < 0.3:
        return words[: rng.integers(1, len(words) + 1)].tobytes()
    for _ in range(rng.integers(1, 4)):
        bit = np.uint32(1) << np.uint32(rng.integers(32))
        at = rng.integers(len(words)) if rng.random() < 0.5 else rng.integers(min(len(words), 20))
        words[at] = rng.choice([words[at] ^ bit, rng.integers(2**32), 0xFFFFFFFF])
    return words.tobytes()


def check_damaged(volume: Stored, seed: int) -> bool:
    """Whether damage is found; where it is not, the runs are runs all the same."""
    rng = np.random.default_rng(seed)
    try:
        found = volume.runs(lambda content: damage(content, rng))
    except DamagedFileError:
        return True
    lengths = np.diff(np.append(0, found.run_end.astype(np.int64)))
    starts = found.ranges[0].astype(np.int64)
    lengths[starts] = found.run_end[starts]
    assert (lengths > 0).all()
    assert (found.run_end[found.ranges[1].astype(np.int64) - 1] == volume.box.shape[0]).all()
    assert (found.run_label < len(found.ids)).all()
    return False


@settings(max_examples=500, deadline=None)
@given(stored(), st.integers(0, 2**32))
def test_damaged_files_are_errors_or_other_labels(volume: Stored, seed: int) -> None:
    check_damaged(volume, seed)


@pytest.mark.parametrize("content", [b"odd", b"\x01\0\0\0", b"\xff" * 400, bytes(range(256)) * 20])
def test_what_is_no_compressed_segmentation_is_told_with_its_position(content: bytes) -> None:
    grid = FileGrid(Box((0, 0, 0), (48, 16, 16)), (16, 16, 16))
    x_spans, (y,), (z,) = (grid.spans(Box((0, 0, 0), (48, 16, 16)), axis) for axis in range(3))
    good = compressed_segmentation.compress(np.full((16, 16, 16), 7, np.uint64, order="F"), block_size=(8, 8, 8))
    with pytest.raises(DamagedFileError, match="file 2") as caught:
        BlockRuns((48, 16, 16), (8, 8, 8), 8).add([good, b"", content], x_spans, y, z)
    assert caught.value.position == 2


def test_nothing_is_read_or_written_out_of_bounds(tmp_path: Path) -> None:
    """With kernels that check every index: compiling them takes most of this test's time."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", __name__], cwd=ROOT, env=environment, check=True, capture_output=True)
    found, of = map(int, done.stdout.split())
    assert of // 2 < found < of


def _damage_many() -> None:
    rng, found, of = np.random.default_rng(0), 0, 400
    for seed in range(of):
        kind = KINDS[seed % len(KINDS)]
        labels = np.asfortranarray(kind(rng, tuple(rng.integers(1, 40, 3))).astype(np.uint64))
        volume = Stored(labels, (16, 16, 16), (8, 8, 8), Box((0, 0, 0), as_triple(labels.shape)))
        if seed % 3:
            volume = replace(volume, block=as_triple(rng.integers(1, 10, 3)))
        found += check_damaged(volume, seed)
    print(found, of)


if __name__ == "__main__":
    _damage_many()
