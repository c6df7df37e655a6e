"""Seconds and rows per chunk for plans: `python -m tests.bench.bench_ingest_rates [--data DIR] [--rounds N]`.

The real segmentation crop (512^3 voxels of 16 x 16 x 40 nm) is written as a precomputed volume of gzipped
compressed_segmentation and read back in chunks of several sizes: reading, finding the supervoxels, computing the
features and writing the rows, on one core. Each supervoxel counts as a node. What is told is the mean of the chunks in
one block of tissue, and of those in a block without supervoxels beside it: chunks of every size share the same tissue.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from math import prod
from pathlib import Path

import numpy as np

from infra.measurements.goals import at_most
from infra.measurements.record import measuring, record_option
from shared.features.api import supervoxel_features
from shared.geometry.grid import GraphGeometry
from shared.store.open import open_store
from shared.store.protocol import CacheStore, TableMeta
from shared.types import Triple, UInt64Array
from shared.volume.cloudvolume import CloudVolumeReader
from tests.bench.options import data_option

SIZES: tuple[Triple, ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256), (256, 256, 512))
RESOLUTION_NM = (16, 16, 40)
BLOCK: Triple = (256, 256, 512)
MINNIE65_CHUNKS, MINNIE65_CHUNK = 752 * 512 * 26, (256, 256, 512)
GOAL_CORE_HOURS = 1_500.0


def write(labels: UInt64Array, folder: Path) -> dict[str, object]:
    """Writes the labels and as many zeros beside them; the volume's info."""
    from cloudvolume import CloudVolume

    x, y, z = labels.shape
    info = CloudVolume.create_new_info(
        1, "segmentation", "uint64", "compressed_segmentation", RESOLUTION_NM, (0, 0, 0), (2 * x, y, z), (64, 64, 64)
    )
    volume = CloudVolume(folder.as_uri(), info=info, compress="gzip", progress=False)
    volume.commit_info()
    volume[:x] = labels[..., np.newaxis]
    return dict(info)


def measure(info: dict[str, object], folder: Path, size: Triple, start: int, rounds: int) -> tuple[float, float, float]:
    """Seconds of a chunk, of which for reading, and its rows, as means of a block: the fastest of some rounds over it.

    Args:
      info: of the volume.
      folder: where it lies.
      size: of the chunks, in voxels.
      start: first voxel of the block along x.
      rounds: how often the block is computed, beside a first time that compiles.
    """
    geometry = GraphGeometry.from_info(
        {**info, "data_dir": folder.as_uri(), "graph": {"chunk_size": size, "spatial_bit_masks": {"2": 10}}}
    )
    first, counts = (start // size[0], 0, 0), [block // side for block, side in zip(BLOCK, size, strict=True)]
    chunks = [(first[0] + x, first[1] + y, first[2] + z) for x, y, z in np.ndindex(*counts)]
    with closing(open_store(f"sqlite://{folder}/rows.db")) as store:
        store.create_table("rates", TableMeta("rates", "graphene://rates", datetime(2026, 6, 1, tzinfo=UTC)))
        reader = CloudVolumeReader(geometry)
        turns = [compute_block(reader, store, chunks, geometry) for _ in range(rounds + 1)]
    seconds, read_s, rows = min(turns[1:])
    return seconds / len(chunks), read_s / len(chunks), rows / len(chunks)


def compute_block(
    reader: CloudVolumeReader, store: CacheStore, chunks: Sequence[Triple], geometry: GraphGeometry
) -> tuple[float, float, int]:
    """Computes chunks from files to rows: seconds, of which for reading, and the number of rows."""
    from shared.compute.chunk import LoadedChunk

    read_s, n_rows, start_s = 0.0, 0, time.perf_counter()
    for coordinate in chunks:
        begin_s = time.perf_counter()
        chunk = LoadedChunk.from_runs(coordinate, reader.read_runs(coordinate))
        read_s += time.perf_counter() - begin_s
        if not chunk.is_empty:
            ids = chunk.supervoxels
            features = supervoxel_features(chunk.runs, ids, ids, geometry.resolution_nm)
            store.write_features("rates", features)
            n_rows += len(features)
    return time.perf_counter() - start_s, read_s, n_rows


def main() -> None:
    """Prints a line for each size of chunk."""
    import crackle

    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--rounds", type=int, default=5)
    record_option(parser)
    options = parser.parse_args()
    packed = gzip.decompress((options.data / "segmentation_512.npy.ckl.gz").read_bytes())
    labels = np.asfortranarray(crackle.decompress(packed)).astype(np.uint64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        info = write(labels, folder)
        with measuring("ingest_rates", record=options.record) as table:
            for size, (label, start) in itertools.product(SIZES, (("", 0), (" empty", 512))):
                seconds, read_s, rows = measure(info, folder, size, start, options.rounds)
                name, megavoxels = "x".join(map(str, size)) + label, prod(size) / 1e6
                table.add(chunk=name, megavoxels=megavoxels, seconds=seconds, read_s=read_s, rows=rows)
                if size == MINNIE65_CHUNK and rows:
                    core_hours = MINNIE65_CHUNKS * seconds / 3600
                    at_most(
                        f"{MINNIE65_CHUNKS:,} such chunks as minnie65 has", core_hours, GOAL_CORE_HOURS, "core-hours"
                    )


if __name__ == "__main__":
    main()
