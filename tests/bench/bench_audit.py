"""What an audit costs and finds: `python -m tests.bench.bench_audit [--data DIR] [--rounds N]`.

Two graphs are ingested and audited in turns, one core, rows in SQLite, the graph asked of a server in a process of its
own: that of the real data set, in 128 chunks of 1.05 megavoxels, and one over a block of real tissue of 33.6
megavoxels, which is a chunk of the petascale graphs. What counts is the processor's time of this process: the waiting
for a server costs an instance nothing that another chunk could not use.

Then a table of 10^6 rows with 1,000 holes made at random: each must be found, and nothing else. Its graph is in memory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import prod
from pathlib import Path

import numpy as np

from infra.measurements.goals import at_most
from infra.measurements.record import measuring, record_option
from infra.standin.build import build
from infra.standin.graph.server import WORLD_WATERSHED, GraphFiles
from infra.standin.segmentation import Segmentation
from shared.compute.service import ComputeService
from shared.config.datasets import Dataset, Datasets
from shared.geometry.grid import Box, GraphGeometry
from shared.geometry.ids import compose_ids, slices_of_chunks
from shared.graph.address import GraphAddress
from shared.graph.server import GraphServer
from shared.graph.transport import GraphTransport
from shared.ingest.audit import AuditOptions
from shared.ingest.blocks import chunks
from shared.ingest.control.audits import AUDITED_TOGETHER
from shared.ingest.kind import RunKind
from shared.ingest.leaf.kinds import work_on_chunks
from shared.ingest.run import Run
from shared.store.open import open_store
from shared.store.protocol import CacheStore, TableMeta
from shared.telemetry.log import StepTimer
from shared.types import Triple, UInt64Array
from shared.volume.cloudvolume import CloudVolumeReader
from tests.bench.bench_ingest_rates import write as write_volume
from tests.bench.chunks import tissue
from tests.bench.graph_server import serving
from tests.bench.options import data_option
from tests.support.features.rows import random_features

MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
GRAPH_ID, TABLE_ID = "bench", "l2cache_bench_v1"
INFO = "graphene_info.json"
LARGE_CHUNK: Triple = (256, 256, 512)
GOAL_OF_AN_INGEST = 0.05
N_HOLES = 1_000
MADE_GRID, MADE_NODES = (20, 20, 20), 125
"""Chunks of the made table, and the nodes of each."""


@dataclass(frozen=True)
class GraphAtHand:
    """A graph to be served, and its volume.

    Attributes:
      name: of its table.
      dump: the table.
      info: its `info`.
      watershed: folder of the volume.
    """

    name: str
    dump: Path
    info: Path
    watershed: Path

    @classmethod
    def of_the_data_set(cls, data: Path) -> GraphAtHand:
        """The graph of the real data set."""
        return cls("rig_graph", data / "tables/graph_after_merge.ndjson.gz", data / INFO, data / "watershed")

    @classmethod
    def of_one_large_chunk(cls, data: Path, folder: Path) -> GraphAtHand:
        """A graph over a block of tissue, each of whose segments is a node."""
        labels = np.asfortranarray(tissue(data)[tuple(map(slice, LARGE_CHUNK))]).astype(np.uint64)
        volume, world = folder / "volume", folder / "world"
        write_volume(labels, volume)
        build(
            Segmentation(f"precomputed://{volume.as_uri()}", 0, Box((0, 0, 0), LARGE_CHUNK)),
            world,
            "tissue",
            LARGE_CHUNK,
        )
        files = GraphFiles.of_world(world)
        return cls("tissue", files.dump, files.info, world / WORLD_WATERSHED)


@dataclass(frozen=True)
class Timed:
    """Seconds of one pass over so many chunks, and what it counted."""

    chunks: int
    wall_s: float
    cpu_s: float
    counts: dict[str, int]


class OneVolume:
    """`VolumeSource` of a volume that lies in a folder, wherever its graph says that it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, geometry: GraphGeometry) -> CloudVolumeReader:
        """As `VolumeSource.get`."""
        return CloudVolumeReader(replace(geometry, data_dir=self._folder.as_uri()))


class OneServer:
    """`GraphSource` of a single graph server."""

    def __init__(self, url: str) -> None:
        self._graph = GraphServer(GraphAddress.parse(url), GraphTransport(None, 30.0, 3))

    def get(self, _dataset: Dataset) -> GraphServer:
        """As `GraphSource.get`."""
        return self._graph


class MadeGraph:
    """As much of `Graph` as an audit asks: the same number of nodes in each chunk of a grid."""

    def __init__(self, geometry: GraphGeometry) -> None:
        self._geometry = geometry
        coordinates = np.repeat(list(chunks(Box((0, 0, 0), MADE_GRID))), MADE_NODES, axis=0)
        segments = np.tile(np.arange(1, MADE_NODES + 1, dtype=np.uint64), len(coordinates) // MADE_NODES)
        self.l2_ids = np.sort(compose_ids(2, coordinates, segments, geometry.layout))

    def get(self, _dataset: Dataset) -> MadeGraph:
        """As `GraphSource.get`."""
        return self

    def geometry(self) -> GraphGeometry:
        """As `Graph.geometry`."""
        return self._geometry

    def l2_ids_at(self, chunks: Sequence[Triple], _timestamp: datetime | None) -> list[UInt64Array]:
        """As `Graph.l2_ids_at`."""
        return [self.l2_ids[part] for part in slices_of_chunks(self.l2_ids, chunks, self._geometry.layout)]

    def l2_ids_ever(self, chunks: Sequence[Triple]) -> list[UInt64Array]:
        """As `Graph.l2_ids_ever`."""
        return self.l2_ids_at(chunks, None)


@contextmanager
def table(folder: Path, cv_path: str) -> Iterator[CacheStore]:
    """An empty table in a file."""
    store = open_store(f"sqlite://{folder}/rows.db")
    try:
        store.create_table(TABLE_ID, TableMeta(GRAPH_ID, cv_path, MOMENT))
        yield store
    finally:
        store.close()


def timed(service: ComputeService, kind: RunKind, block: Box) -> Timed:
    """One pass over the chunks of a block.

    Raises:
      L2CacheError: if a chunk fails.
    """
    options = AuditOptions().document() if kind is RunKind.AUDIT else {}
    run = Run(GRAPH_ID, TABLE_ID, MOMENT, block, block.volume, 1.0, kind=kind, options=options)
    counts: dict[str, int] = {}
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for result in work_on_chunks(service, run, chunks(block), StepTimer(), AUDITED_TOGETHER):
        if result.error is not None:
            raise result.error
        for name, count in result.counts.items():
            counts[name] = counts.get(name, 0) + count
    return Timed(block.volume, time.perf_counter() - wall_s, time.process_time() - cpu_s, counts)


def beside_an_ingest(at_hand: GraphAtHand, rounds: int) -> tuple[Timed, Timed]:
    """The fastest ingest and the fastest audit of all chunks of a graph."""
    with serving(at_hand.dump, at_hand.info) as url, tempfile.TemporaryDirectory() as name:
        cv_path = f"graphene://{url}/segmentation/table/{at_hand.name}"
        with table(Path(name), cv_path) as store:
            datasets = Datasets({GRAPH_ID: Dataset(GRAPH_ID, cv_path, TABLE_ID)})
            graph = OneServer(cv_path)
            service = ComputeService(datasets, store, graph, OneVolume(at_hand.watershed))
            block = Box((0, 0, 0), graph.get(datasets.get(GRAPH_ID)).geometry().grid_shape)
            passes = [  # the first ingest compiles
                (timed(service, RunKind.INGEST, block), timed(service, RunKind.AUDIT, block)) for _ in range(rounds + 1)
            ][1:]
    ingests, audits = zip(*passes, strict=True)
    return min(ingests, key=lambda one: one.cpu_s), min(audits, key=lambda one: one.cpu_s)


def holes_in_a_million(data: Path) -> tuple[Timed, int]:
    """An audit of the made table, and its rows."""
    geometry = GraphGeometry.from_info(json.loads((data / INFO).read_text()))
    graph, chance = MadeGraph(geometry), np.random.default_rng(16)
    there = np.ones(len(graph.l2_ids), dtype=bool)
    there[chance.choice(len(there), N_HOLES, replace=False)] = False
    with tempfile.TemporaryDirectory() as name, table(Path(name), "graphene://made") as store:
        store.write_features(TABLE_ID, random_features(graph.l2_ids[there]))
        datasets = Datasets({GRAPH_ID: Dataset(GRAPH_ID, "graphene://made", TABLE_ID)})
        service = ComputeService(datasets, store, graph, OneVolume(Path(name)))  # type: ignore[arg-type]
        audit = timed(service, RunKind.AUDIT, Box((0, 0, 0), MADE_GRID))
    expected = {"l2_ids": len(there), "rows": len(there) - N_HOLES, "missing": N_HOLES}
    if audit.counts != expected:
        raise AssertionError(f"counted {audit.counts}, not {expected}")
    return audit, len(there) - N_HOLES


def main() -> None:
    """Prints a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--rounds", type=int, default=3)
    record_option(parser)
    options = parser.parse_args()
    with measuring("audit", record=options.record) as table_, tempfile.TemporaryDirectory() as folder:
        graphs = {
            "small chunks": GraphAtHand.of_the_data_set(options.data),
            "a large chunk": GraphAtHand.of_one_large_chunk(options.data, Path(folder)),
        }
        for what, at_hand in graphs.items():
            ingest, audit = beside_an_ingest(at_hand, options.rounds)
            part, goal, rows = audit.cpu_s / ingest.cpu_s, GOAL_OF_AN_INGEST, audit.counts["rows"]
            table_.add(audit=what, chunks=audit.chunks, rows=rows, holes=0, cpu_s=audit.cpu_s, part=part, goal=goal)
            at_most(f"processor time of an audit, of an ingest's: {what}", part, goal)
        made, rows = holes_in_a_million(options.data)
        n_chunks = prod(MADE_GRID)
        table_.add(audit="made", chunks=n_chunks, rows=rows, holes=N_HOLES, cpu_s=made.cpu_s, part=None, goal=None)


if __name__ == "__main__":
    main()
