"""Mapping whole chunks three ways: `python -m tests.bench.bench_graph_table [--data DIR] [--rounds N]`.

A chunk's supervoxels are mapped to L2 nodes by one scan of the chunk's L2 rows, by asking a graph server over HTTP, and
by reading the `parents` of every supervoxel. The table is in Google's Bigtable emulator. The server is the stand-in,
which has the graph in memory; the real one reads `parents` from Bigtable itself for each request, so that it takes at
least the second and the third way's time together.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.cloud.bigtable.data import ReadRowsQuery, row_filters

from infra.local.emulators import bigtable_emulator
from infra.measurements.record import Table, measuring, record_option
from infra.standin.bigtable_dump import restore_dump
from infra.standin.graph.table import read_dump
from shared.geometry.ids import chunk_coordinates, node_coordinates, node_key
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.clients import DataClients
from shared.graph.address import GraphAddress
from shared.graph.bigtable import GraphTable
from shared.graph.server import GraphServer
from shared.graph.transport import GraphTransport
from shared.types import Triple, UInt64Array
from tests.bench.graph_server import announced
from tests.bench.options import data_option

DUMP, INFO = "tables/graph_after_merge.ndjson.gz", "graphene_info.json"
ADDRESS = TableAddress("bench", "bench", "graph")
Mapping = Callable[[UInt64Array], UInt64Array]


@dataclass(frozen=True)
class Way:
    """One way to map chunks: its name, and the milliseconds of each chunk in each round, float[round, chunk]."""

    name: str
    milliseconds: np.ndarray

    @property
    def per_chunk_ms(self) -> np.ndarray:
        """The fastest of the rounds: float[chunk]."""
        return np.asarray(self.milliseconds.min(axis=0))


def point_reads(clients: DataClients) -> Mapping:
    """Reads the newest `parents` cell of every supervoxel in one request."""
    table = clients.get(ADDRESS.project).get_table(ADDRESS.instance, ADDRESS.table)
    newest_parent = row_filters.RowFilterChain(
        [
            row_filters.FamilyNameRegexFilter("0"),
            row_filters.ColumnQualifierRegexFilter("parents"),
            row_filters.CellsColumnLimitFilter(1),
        ]
    )

    def parents(supervoxels: UInt64Array) -> UInt64Array:
        keys: list[str | bytes] = [node_key(supervoxel) for supervoxel in supervoxels.tolist()]
        rows = table.read_rows(ReadRowsQuery(keys, row_filter=newest_parent))
        found = {int(row.row_key): int.from_bytes(row.get_cells()[0].value, "little") for row in rows}
        return np.array([found.get(supervoxel, 0) for supervoxel in supervoxels.tolist()], dtype=np.uint64)

    return parents


def measure(ways: dict[str, Mapping], chunks: list[UInt64Array], rounds: int) -> list[Way]:
    """Times all ways on all chunks, one after the other on each chunk so that all meet the same disturbances."""
    times = np.zeros((len(ways), rounds, len(chunks)))
    for turn in range(-1, rounds):  # The first turn only warms connections up, and compares.
        for number, chunk in enumerate(chunks):
            answers = []
            for way, mapping in enumerate(ways.values()):
                start_s = time.perf_counter()
                answers.append(mapping(chunk))
                if turn >= 0:
                    times[way, turn, number] = (time.perf_counter() - start_s) * 1000
            if any((answer != answers[0]).any() for answer in answers):
                raise AssertionError(f"the ways differ in chunk {number}")
    return [Way(name, milliseconds) for name, milliseconds in zip(ways, times, strict=True)]


def supervoxels_by_chunk(graph: GraphServer, dump: Path) -> dict[Triple, UInt64Array]:
    """The supervoxels of each chunk that has some."""
    layout = graph.geometry().layout
    nodes = np.array([int(cell.key) for cell in read_dump(dump)[1] if cell.qualifier == "parents"], dtype=np.uint64)
    supervoxels = np.unique(nodes[nodes >> np.uint64(56) == 1])
    coordinates = node_coordinates(supervoxels, 1, layout)
    order = np.lexsort(coordinates.T[::-1])
    distinct, starts = np.unique(coordinates[order], axis=0, return_index=True)
    parts = np.split(supervoxels[order], starts[1:])
    return {(int(x), int(y), int(z)): part for (x, y, z), part in zip(distinct, parts, strict=True)}


def report(ways: list[Way], table: Table) -> None:
    """Milliseconds per chunk, and how long each way takes compared with the scan, which is the first."""
    scan_ms = float(ways[0].per_chunk_ms.mean())
    for way in ways:
        mean_ms = float(way.per_chunk_ms.mean())
        p50_ms, p95_ms = np.percentile(way.per_chunk_ms, [50, 95]).tolist()
        table.add(way=way.name, mean_ms=mean_ms, p50_ms=p50_ms, p95_ms=p95_ms, ratio=mean_ms / scan_ms)


def main() -> None:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--rounds", type=int, default=3)
    record_option(parser)
    options = parser.parse_args()
    dump = options.data / DUMP
    standin = ("infra.standin.graph.server", "--dump", str(dump), "--info", str(options.data / INFO))
    with bigtable_emulator() as emulator, announced(*standin) as server_address:
        os.environ.update(emulator.environment)
        restore_dump(dump, ADDRESS)
        address = GraphAddress(server_address, "segmentation", "rig_graph")
        server = GraphServer(address, GraphTransport(None, timeout_s=60, attempts=1))
        clients = DataClients()
        table = GraphTable(ADDRESS, server.geometry, clients)
        by_chunk = supervoxels_by_chunk(server, dump)
        chunks = list(by_chunk.values())
        ways: dict[str, Mapping] = {
            "scan of the chunk's L2 rows": lambda ids: table.l2_of_supervoxels(ids, None).l2_ids,
            "graph server (in memory), HTTP": lambda ids: server.l2_of_supervoxels(ids, None).l2_ids,
            "point reads of parents": point_reads(clients),
        }
        measured = measure(ways, chunks, options.rounds)
        mapped = np.unique(server.l2_of_supervoxels(np.concatenate(chunks), None).l2_ids)
        n_nodes = len(chunk_coordinates(mapped, server.geometry().layout))
        n_supervoxels = sum(chunk.size for chunk in chunks)
        print(f"{len(chunks)} chunks of {n_supervoxels} supervoxels and {n_nodes} current L2 nodes")
        with measuring("graph_table", record=options.record) as table_of_times:
            report(measured, table_of_times)
        clients.close()


if __name__ == "__main__":
    main()
