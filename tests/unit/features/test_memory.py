"""The promised memory, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.features.memory import chunk_memory_bytes

PROGRAM = """
import re, sys
from pathlib import Path
import numpy as np
from shared.features.api import chunk_features

def peak():  # getrusage counts what the process that this one came from has held
    return int(re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024

label_type, threads, fractional, voxels_per_run, labels = sys.argv[1], *map(int, sys.argv[2:])
resolution_nm = (7.5, 7.5, 33.3) if fractional else (16, 16, 40)
small = np.zeros((20, 20, 20), label_type, order="F")
small[3:9] = 4
chunk_features(small, resolution_nm, threads=2)  # compiled code and libraries are not the chunk's
before = peak()
shape = (128, 128, 192)
chunk = np.empty(np.prod(shape), label_type)
for part in np.split(chunk, 64):  # in parts, as making the chunk must not cost more than it
    runs = np.random.default_rng(len(part)).integers(1, labels, part.size // voxels_per_run)
    part.reshape(-1, voxels_per_run)[:] = runs[:, None]
features = chunk_features(chunk.reshape(shape, order="F"), resolution_nm, threads=threads)
assert len(features) > labels // 2
print(peak() - before)
"""

SHAPE = (128, 128, 192)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux' /proc")
@pytest.mark.parametrize(
    ("label_type", "threads", "fractional", "voxels_per_run", "labels"),
    [
        ("uint32", 1, 0, 32, 800),
        ("uint32", 2, 0, 4, 12_000),
        ("uint64", 1, 0, 4, 12_000),
        ("uint32", 1, 1, 4, 12_000),
    ],
)
def test_a_chunk_takes_no_more_than_promised(
    label_type: str, threads: int, fractional: int, voxels_per_run: int, labels: int
) -> None:
    arguments = [label_type, *map(str, (threads, fractional, voxels_per_run, labels))]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    promised = chunk_memory_bytes(SHAPE, int(label_type[-2:]) // 8, threads)
    assert promised / 6 < int(done.stdout) <= promised


def test_a_chunk_of_microns_is_promised_to_fit_a_gigabyte() -> None:
    assert chunk_memory_bytes((256, 256, 512)) < 2**30


def test_more_labels_and_runs_are_promised_more() -> None:
    shape = (256, 256, 512)
    tissue = chunk_memory_bytes(shape)
    assert chunk_memory_bytes(shape, labels=10**6) > tissue
    assert chunk_memory_bytes(shape, runs=10**8) > tissue
    assert chunk_memory_bytes(shape, label_bytes=8) == tissue + 4 * 256 * 256 * 512
