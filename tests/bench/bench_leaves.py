"""How leaves of an ingest use two cores: `python -m tests.bench.bench_leaves [--data DIR] [--rounds N]`.

A leaf of chunks of 256 x 256 x 512 voxels of real tissue, from gzipped compressed_segmentation on a local disk to rows
in a SQLite file, in workers that are processes of their own: one with a thread, pinned to one core; one whose engine
has two threads, on two cores; and two with a thread each, pinned to a core each, which write to the same table. The
graph is in memory. All begin with one chunk that does not count, which loads libraries and kernels. The volume's four
chunks take unequal times, by a fifth: each worker computes each of them equally often.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import fastremap
import numpy as np

from infra.measurements.goals import at_least
from infra.measurements.record import measuring, record_option
from shared.compute.service import ComputeService
from shared.config.datasets import Dataset, Datasets
from shared.geometry.grid import Box, GraphGeometry
from shared.geometry.ids import compose_ids
from shared.graph.protocol import L2Mapping
from shared.ingest.blocks import chunks
from shared.ingest.leaf.kinds import work_on_chunks
from shared.ingest.run import Run
from shared.store.open import open_store
from shared.store.protocol import TableMeta
from shared.telemetry.log import StepTimer
from shared.types import Triple, UInt64Array
from shared.volume.cloudvolume import CloudVolumeReader
from tests.bench.chunks import tissue
from tests.bench.options import data_option

ROOT = Path(__file__).resolve().parents[2]
GRAPH_ID, TABLE_ID = "bench", "l2cache_bench_v1"
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
CHUNK: Triple = (256, 256, 512)
RESOLUTION_NM = (16, 16, 40)
LAYER_BIT = np.uint64(1 << 56)
CHUNKS_OF_A_RUN = 32
GOAL_RATIO = 1.8


@dataclass(frozen=True)
class Way:
    """How leaves are computed: so many workers, the threads of their engines, and the cores of each."""

    title: str
    cores: tuple[tuple[int, ...], ...]
    threads: int


class OneLayerUp:
    """As much of a graph as an ingest asks, and its own source: each supervoxel is a node, the layer apart."""

    def __init__(self, geometry: GraphGeometry) -> None:
        self._geometry = geometry

    def get(self, _dataset: Dataset) -> OneLayerUp:
        """As `GraphSource.get`."""
        return self

    def geometry(self) -> GraphGeometry:
        """As `Graph.geometry`."""
        return self._geometry

    def l2_of_supervoxels(self, supervoxels: UInt64Array, _timestamp: datetime | None) -> L2Mapping:
        """As `Graph.l2_of_supervoxels`."""
        never = np.zeros(len(supervoxels), dtype=bool)
        return L2Mapping(supervoxels + LAYER_BIT, never, never)


class OneVolume:
    """`VolumeSource` of one volume."""

    def get(self, geometry: GraphGeometry) -> CloudVolumeReader:
        """As `VolumeSource.get`."""
        return CloudVolumeReader(geometry)


def write_volume(labels: UInt64Array, folder: Path) -> Box:
    """Writes a volume of supervoxels whose ids name their chunk, and `info.json` of its graph; its chunks."""
    from cloudvolume import CloudVolume

    info = CloudVolume.create_new_info(
        1, "segmentation", "uint64", "compressed_segmentation", RESOLUTION_NM, (0, 0, 0), labels.shape, (64, 64, 64)
    )
    volume = CloudVolume(folder.as_uri(), info=info, compress="gzip", progress=False)
    volume.commit_info()
    graph = {"chunk_size": CHUNK, "spatial_bit_masks": {"2": 10}}
    document = {**info, "data_dir": folder.as_uri(), "graph": graph}
    (folder / "info.json").write_text(json.dumps(document))
    geometry = GraphGeometry.from_info(document)
    block = Box((0, 0, 0), geometry.grid_shape)
    for x, y, z in chunks(block):
        place = tuple(slice(n * size, (n + 1) * size) for n, size in zip((x, y, z), CHUNK, strict=True))
        own = compose_ids(1, np.array([[x, y, z]]), np.zeros(1, np.uint64), geometry.layout)[0]
        volume[place] = np.where(labels[place] == 0, np.uint64(0), labels[place] + own)[..., np.newaxis]
    return block


def work(folder: Path, threads: int, part: int, parts: int) -> None:
    """A worker: computes one chunk, says that it is ready, waits for a line, and computes its share of a run."""
    geometry = GraphGeometry.from_info(json.loads((folder / "info.json").read_text()))
    store = open_store(f"sqlite://{folder}/rows.db")
    datasets = Datasets({GRAPH_ID: Dataset(GRAPH_ID, "graphene://bench", TABLE_ID)})
    service = ComputeService(datasets, store, OneLayerUp(geometry), OneVolume(), threads)
    block = Box((0, 0, 0), geometry.grid_shape)
    run = Run(GRAPH_ID, TABLE_ID, MOMENT, block, block.volume, 1.0)
    share = CHUNKS_OF_A_RUN // parts
    own = list(itertools.islice(itertools.cycle(chunks(block)), part, part + share))
    for some in (own[:1], own):
        if some is own:
            print("ready", flush=True)
            sys.stdin.readline()
        for result in work_on_chunks(service, run, some, StepTimer()):
            if result.error is not None:
                raise result.error
    print("done", flush=True)
    store.close()


def seconds(way: Way, folder: Path) -> float:
    """Wall time of a run's chunks, from the signal to begin until the last worker is through."""
    with ExitStack() as running:
        workers = [
            running.enter_context(_worker(folder, cores, way.threads, part, len(way.cores)))
            for part, cores in enumerate(way.cores)
        ]
        for worker in workers:
            _expect(worker, "ready")
        start_s = time.perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            _expect(worker, "done")
        return time.perf_counter() - start_s


def _worker(folder: Path, cores: tuple[int, ...], threads: int, part: int, parts: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.bench.bench_leaves", "--work", str(folder)]
    command += [",".join(map(str, cores)), str(threads), str(part), str(parts)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _expect(worker: subprocess.Popen[str], word: str) -> None:
    assert worker.stdout is not None
    line = worker.stdout.readline().strip()
    if line != word:
        raise RuntimeError(f"a worker says {line!r} instead of {word!r}; its status is {worker.wait()}")


def report(data: Path, rounds: int, record: bool) -> None:
    """Prints the table, and whether both ways of using two cores reach their goals."""
    one, two = sorted(os.sched_getaffinity(0))[:2]
    ways = [
        Way("1 with 1 thread", ((one,),), 1),
        Way("1 with 2 threads", ((one, two),), 2),
        Way("2 with 1 thread each", ((one,), (two,)), 1),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_volume(fastremap.renumber(tissue(data))[0].astype(np.uint64), folder)
        store = open_store(f"sqlite://{folder}/rows.db")
        store.create_table(TABLE_ID, TableMeta(GRAPH_ID, "graphene://bench", MOMENT))
        store.close()
        turns = [[seconds(way, folder) for way in ways] for _ in range(rounds)]
    fastest = np.min(turns, axis=0).tolist()
    with measuring("leaves", record=record) as table:
        for way, time_s in zip(ways, fastest, strict=True):
            table.add(
                workers=way.title,
                cores=len({core for cores in way.cores for core in cores}),
                chunks=CHUNKS_OF_A_RUN,
                seconds=time_s,
                chunks_per_s=CHUNKS_OF_A_RUN / time_s,
                ratio=fastest[0] / time_s,
            )
    for way, time_s in zip(ways[1:], fastest[1:], strict=True):
        at_least(f"workers: {way.title}, times as fast as one pinned to a core", fastest[0] / time_s, GOAL_RATIO)


def main() -> None:
    """Runs the benchmark, or is one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    record_option(parser)
    options = parser.parse_args()
    if options.work:
        folder, cores, threads, part, parts = options.work
        os.sched_setaffinity(0, set(map(int, cores.split(","))))
        work(Path(folder), int(threads), int(part), int(parts))
        return
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("this compares one core with two, and there is one")
    report(options.data, options.rounds, options.record)


if __name__ == "__main__":
    main()
