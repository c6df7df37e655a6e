"""What a look-up costs: `python -m tests.bench.bench_lookup [--data DIR] [--rounds N] [--most IDS]`.

The running look-up function on Google's Bigtable emulator, all attributes, over HTTP with an open connection as clients
keep it; and in the same rounds the floor: one bare ReadRows stream of the same keys, its answers not even looked at.
Clients use `requests`, which takes half a millisecond for itself; what is left with Python's own `http.client` is told
beside it.
Many clients at once ask the function, whose one process has as many threads, and likewise as many bare streams are read
by one process. The table has PCGL2Cache's recorded rows, and copies of them under ids of other segments of the same
chunks.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import numpy as np
import requests
from google.cloud.bigtable_v2 import BigtableClient
from google.cloud.bigtable_v2.services.bigtable.transports import BigtableGrpcTransport

from infra.local.emulator_backing import INSTANCE, PROJECT, EmulatorBacking
from infra.local.stack import LocalStack
from infra.measurements.goals import at_least, at_most
from infra.measurements.record import Table, measuring, record_option
from infra.standin.bigtable_dump import restore_dump, write_cells
from infra.standin.graph.table import Cell, read_dump
from shared.attributes import ATTRIBUTES
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import node_key
from shared.google.bigtable.address import TableAddress
from shared.lookup.answer import encode_answer
from shared.store.bigtable import BigtableStore
from shared.types import UInt64Array
from tests.bench.options import data_option
from tests.support.data.real_stack import GRAPH, TABLE, served_graph

CACHE_DUMP = "tables/cache_ingested.ndjson.gz"
ADDRESS = TableAddress(PROJECT, INSTANCE, TABLE)
PATH = f"/l2cache/api/v1/table/{GRAPH}/attributes"
SIZES = (1, 100, 1_000, 10_000, 100_000)
SEGMENTS_APART = 1 << 20
GOAL_RATIOS = {1: 2.0, 100: 1.4, 10_000: 1.5}
CLIENTS, IDS_OF_A_CLIENT, REQUESTS_OF_A_CLIENT = 32, 10, 20
GOAL_RATE = 0.6
MOST_IDS_AT_ONCE = 100
"""A look-up of more takes long enough for a connection that waits for its turn to be closed by the server."""
MEMORY_IDS, GOAL_MEMORY = 100_000, 4.0


def fill_table(dump: Path, n_rows: int) -> UInt64Array:
    """Restores the cache table, and adds copies of its rows until it has so many; the ids of all: uint64[n_rows]."""
    restore_dump(dump, ADDRESS)
    recorded = [cell for cell in read_dump(dump)[1] if cell.key.isdecimal() and cell.value]
    own = np.unique(np.array([int(cell.key) for cell in recorded], dtype=np.uint64))
    ids = [own]
    for copy in range(1, -(-n_rows // len(own))):
        shift = copy * SEGMENTS_APART
        write_cells(ADDRESS, (_shifted(cell, shift) for cell in recorded))
        ids.append(own + np.uint64(shift))
    return np.concatenate(ids)[:n_rows]


def _shifted(cell: Cell, shift: int) -> Cell:
    return cell._replace(key=node_key(int(cell.key) + shift).decode())


@contextmanager
def bare_stream(endpoint: str) -> Iterator[Callable[[UInt64Array], int]]:
    """Reads rows by key in one stream; the number of bytes that came."""
    name = f"projects/{PROJECT}/instances/{INSTANCE}/tables/{TABLE}"
    options = [("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(endpoint, options=options)
    with BigtableClient(transport=BigtableGrpcTransport(channel=channel)) as client:

        def read(l2_ids: UInt64Array) -> int:
            keys = [node_key(l2_id) for l2_id in l2_ids.tolist()]
            request = {"table_name": name, "rows": {"row_keys": keys}}
            return sum(type(answer).pb(answer).ByteSize() for answer in client.read_rows(request=request))

        yield read


def look_up(session: requests.Session, stack: LocalStack, l2_ids: UInt64Array, encoding: str) -> int:
    """Asks the function for all attributes; the length of the answer."""
    response = session.post(
        stack.lookup_url + PATH,
        data=l2_ids.astype("<u8").tobytes(),
        headers={"Content-Type": "application/octet-stream", "Accept-Encoding": encoding},
        timeout=120,
    )
    response.raise_for_status()
    return len(response.content)


def look_up_barely(connection: HTTPConnection, l2_ids: UInt64Array) -> int:
    """As `look_up`, with as little of a client as there can be."""
    if len(l2_ids) > MOST_IDS_AT_ONCE:
        connection.close()  # the server does, where the other ways take their time; this opens it again
    connection.request("POST", PATH, l2_ids.astype("<u8").tobytes(), {"Content-Type": "application/octet-stream"})
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    return len(answer)


def measure(ways: list[Callable[[UInt64Array], int]], ids: UInt64Array, rounds: int) -> np.ndarray:
    """Milliseconds of each way in each round, one after the other in every round: float[round, way]."""
    times = np.zeros((rounds, len(ways)))
    for turn in range(-1, rounds):  # The first turn only warms up.
        for number, way in enumerate(ways):
            start_s = time.perf_counter()
            if not way(ids):
                raise AssertionError("an empty answer")
            if turn >= 0:
                times[turn, number] = (time.perf_counter() - start_s) * 1000
    return times


def _rounds(size: int, rounds: int) -> int:
    """Small look-ups are measured more often, the largest less."""
    return 20 * rounds if size <= 100 else min(rounds, 2) if size >= 100_000 else rounds


def report(stack: LocalStack, ids: UInt64Array, sizes: Sequence[int], rounds: int, table: Table) -> None:
    """Measures look-ups of some sizes, and tells what came of their goals."""
    endpoint = stack.services.environment["BIGTABLE_EMULATOR_HOST"]
    with (
        bare_stream(endpoint) as floor,
        requests.Session() as session,
        closing(HTTPConnection(urlsplit(stack.lookup_url).netloc)) as connection,
    ):
        ways = [
            floor,
            lambda some: look_up(session, stack, some, "identity"),
            lambda some: look_up(session, stack, some, "gzip"),
            lambda some: look_up_barely(connection, some),
        ]
        for size in sizes:
            some = np.sort(np.random.default_rng(size).choice(ids, size, replace=False))
            times_ms = measure(ways, some, _rounds(size, rounds))
            bare_ms, plain_ms, gzipped_ms, lean_ms = np.median(times_ms, axis=0).tolist()
            table.add(
                ids=size,
                bare_ms=bare_ms,
                plain_ms=plain_ms,
                plain_ratio=plain_ms / bare_ms,
                gzipped_ms=gzipped_ms,
                gzipped_ratio=gzipped_ms / bare_ms,
                lean_ratio=lean_ms / bare_ms,
            )
            if size in GOAL_RATIOS:
                at_most(f"look-up of {size:,} ids, times the bare stream", plain_ms / bare_ms, GOAL_RATIOS[size])


def requests_per_s(ask: Callable[[int], object]) -> float:
    """How many requests are answered in a second while all clients ask, each for its own number; one as a warm-up."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(ask, range(CLIENTS)))
        start_s = time.perf_counter()
        list(clients.map(lambda client: [ask(client) for _ in range(REQUESTS_OF_A_CLIENT)], range(CLIENTS)))
        return CLIENTS * REQUESTS_OF_A_CLIENT / (time.perf_counter() - start_s)


def report_many(stack: LocalStack, ids: UInt64Array, rounds: int) -> None:
    """Measures many small look-ups at once, in turn with as many bare streams, and tells what came of the goal."""
    draw = np.random.default_rng(CLIENTS)
    asked = [np.sort(draw.choice(ids, IDS_OF_A_CLIENT, replace=False)) for _ in range(CLIENTS)]
    sessions = [requests.Session() for _ in range(CLIENTS)]
    with bare_stream(stack.services.environment["BIGTABLE_EMULATOR_HOST"]) as floor:
        rates = [
            (
                requests_per_s(lambda client: floor(asked[client])),
                requests_per_s(lambda client: look_up(sessions[client], stack, asked[client], "identity")),
            )
            for _ in range(rounds)
        ]
    for session in sessions:
        session.close()
    bare_per_s, ours_per_s = np.median(rates, axis=0).tolist()
    print(f"{CLIENTS} clients: {bare_per_s:.0f} bare streams/s, {ours_per_s:.0f} look-ups/s", flush=True)
    what = f"{CLIENTS} clients with {IDS_OF_A_CLIENT} ids each, of the rate of bare streams"
    at_least(what, ours_per_s / bare_per_s, GOAL_RATE)


def report_memory(ids: UInt64Array, geometry: GraphGeometry) -> None:
    """Measures what the answer in JSON holds of memory while it is made, and tells what came of the goal."""
    l2_ids = np.sort(ids[:MEMORY_IDS])
    with closing(BigtableStore(PROJECT, INSTANCE)) as store:
        cells = store.read_cells(TABLE, l2_ids, ATTRIBUTES.names)
    tracemalloc.start()
    answer = encode_answer(l2_ids, cells, ATTRIBUTES.attributes, geometry)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    at_most(f"memory for JSON of {len(l2_ids):,} ids, times the answer", peak_bytes / len(answer), GOAL_MEMORY)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=max(SIZES), help="ids of the largest look-up")
    record_option(parser)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as state,
        LocalStack(Path(state), graph=served_graph(options.data), workers=1, backing=EmulatorBacking()) as stack,
    ):
        os.environ.update(stack.services.environment)
        ids = fill_table(options.data / CACHE_DUMP, max(options.most, IDS_OF_A_CLIENT * CLIENTS))
        with measuring("lookup", record=options.record) as table:
            report(stack, ids, [size for size in SIZES if size <= options.most], options.rounds, table)
        report_many(stack, ids, options.rounds)
        if len(ids) >= MEMORY_IDS:
            report_memory(ids, GraphGeometry.from_info(json.loads((options.data / "graphene_info.json").read_text())))


if __name__ == "__main__":
    main()
