"""How ids stand, and waiting: `python -m tests.bench.bench_states [--data DIR] [--rounds N] [--record]`.

On Google's emulators, over HTTP, in turns within one run: the status of ids beside their look-up; look-ups while 50
requests wait in the same function; and on a made brain, look-ups of nodes in chunks that nobody has asked for, which
wait until their rows are there.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import requests

from infra.local.emulator_backing import EmulatorBacking
from infra.local.stack import LocalStack, ServedGraph
from infra.measurements.goals import at_most
from infra.measurements.record import Table, measuring, record_option
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE as MADE_GRAPH
from infra.standin.world.parameters import WorldParameters
from shared.geometry.ids import L2_LAYER
from shared.store.open import open_store
from shared.store.protocol import PENDING, NodeState
from shared.types import UInt64Array
from tests.bench.bench_lookup import CACHE_DUMP, fill_table, measure
from tests.bench.options import data_option
from tests.support.data.real_stack import GRAPH, TABLE, served_graph
from tests.support.graph.made_worlds import geometry_of, l2_ids_of
from tests.support.stack.client import start_ingest, status, wait_until
from tests.support.stack.ports import take_free_ports

N_IDS, N_MISSING = 13_065, 500
N_WAITING, N_BESIDE = 50, 1_000
N_NEW, N_CHUNKS, N_TIMES = 32, 4, 20
GOAL_STATUS_RATIO, GOAL_BESIDE_RATIO, GOAL_P95_S = 1.1, 1.2, 3.0
NEVER_GIVEN = 1 << 29
"""Added to an id: a segment of the same chunk that no node has."""


def ask(session: requests.Session, stack: LocalStack, graph: str, kind: str, ids: UInt64Array) -> requests.Response:
    """One request; `kind` is the last part of the path, with the query."""
    response = session.post(
        f"{stack.lookup_url}/l2cache/api/v1/table/{graph}/{kind}",
        data=ids.astype("<u8").tobytes(),
        headers={"Content-Type": "application/octet-stream"},
        timeout=120,
    )
    response.raise_for_status()
    return response


def status_beside_look_up(
    kept: Table, session: requests.Session, stack: LocalStack, ids: UInt64Array, rounds: int
) -> None:
    """Times both for the same ids, all with rows and some without."""

    def way(kind: str) -> Callable[[UInt64Array], int]:
        return lambda some: len(ask(session, stack, GRAPH, kind, some).content)

    missing = np.sort(np.concatenate([ids[N_MISSING:], ids[:N_MISSING] + np.uint64(NEVER_GIVEN)]))
    for title, some in (("all cached", ids), (f"{N_MISSING} missing", missing)):
        ways = [way("attributes?update_cache=false"), way("status")]
        look_up_ms, status_ms = np.median(measure(ways, some, rounds), axis=0)
        what = f"status of {len(some):,} ids, {title}"
        value, goal = float(status_ms / look_up_ms), f"at most {GOAL_STATUS_RATIO:g}"
        kept.add(what=what, value=value, unit="of the time of their look-up", goal=goal)
        at_most(f"{what}, of the time of their look-up", value, GOAL_STATUS_RATIO)


@contextmanager
def waiting_requests(stack: LocalStack, ids: UInt64Array) -> Iterator[None]:
    """Requests that wait for ids that stay pending, some for each, until the block ends or 30 s are over."""
    store = open_store(stack.services.store)
    store.write_states(TABLE, dict.fromkeys(ids.tolist(), NodeState(PENDING, time.time())))
    parts = np.array_split(ids, N_WAITING)

    def wait(part: UInt64Array) -> None:
        with requests.Session() as session:
            response = ask(session, stack, GRAPH, "attributes?wait=30&update_cache=false", part)
            if "X-L2Cache-Waited" not in response.headers:
                raise AssertionError("a request did not wait")

    threads = [threading.Thread(target=wait, args=(part,), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        store.write_voxelless(TABLE, ids)
        for thread in threads:
            thread.join()
        store.close()


def look_ups_beside_waiting(
    kept: Table, session: requests.Session, stack: LocalStack, ids: UInt64Array, rounds: int
) -> None:
    """Times look-ups alone and while others wait, in turns."""
    some = ids[:N_BESIDE]
    ways = [lambda part: len(ask(session, stack, GRAPH, "attributes", part).content)]
    alone, beside = list[float](), list[float]()
    for turn in range(rounds):
        alone += measure(ways, some, 20).ravel().tolist()
        first = turn * N_WAITING * N_NEW
        waited = ids[first : first + N_WAITING * N_NEW] + np.uint64(2 * NEVER_GIVEN)
        with waiting_requests(stack, waited):
            beside += measure(ways, some, 20).ravel().tolist()
    what = f"look-up of {N_BESIDE:,} ids while {N_WAITING} requests wait for {N_NEW} ids each"
    value = float(np.median(beside) / np.median(alone))
    kept.add(what=what, value=value, unit="of the time alone", goal=f"at most {GOAL_BESIDE_RATIO:g}")
    at_most(f"{what}, of the time alone", value, GOAL_BESIDE_RATIO)


def wait_for_new(kept: Table, stack: LocalStack, world: Path) -> None:
    """Times look-ups that wait for nodes that have no row yet."""
    start_ingest(stack.ingest_url, MADE_GRAPH, test=True)
    wait_until(lambda: status(stack.ingest_url, MADE_GRAPH)["finished"], "the test ingest, which makes the table")
    by_chunk: dict[int, list[int]] = {}
    bits = geometry_of(world).layout.segment_bits(L2_LAYER)
    with requests.Session() as session:
        found = ask(session, stack, MADE_GRAPH, "status?all=true", l2_ids_of(world)).json()["ids"]
        for l2_id in map(int, found["missing"]):
            by_chunk.setdefault(l2_id >> bits, []).append(l2_id)
        chunks = np.random.default_rng(1).permutation([chunk for chunk, ids in by_chunk.items() if len(ids) >= 8])
        times_s = []
        for start in range(0, len(chunks) - N_CHUNKS, N_CHUNKS):
            parts = [by_chunk[chunk][: N_NEW // N_CHUNKS] for chunk in chunks[start : start + N_CHUNKS].tolist()]
            ids = np.array([l2_id for part in parts for l2_id in part], dtype=np.uint64)
            start_s = time.monotonic()
            response = ask(session, stack, MADE_GRAPH, "attributes?wait=30", ids)
            times_s.append(time.monotonic() - start_s)
            if response.headers["X-L2Cache-Pending"] != "0" or not all(response.json().values()):
                raise AssertionError("not all rows are there")
            if len(times_s) > N_TIMES + 3:
                break
    warm_s = times_s[3:]  # the first ones load what the processes need
    p50_s, p95_s = np.percentile(warm_s, [50, 95]).tolist()
    what = f"a look-up that waits for {N_NEW} new ids in {N_CHUNKS} chunks"
    for title, value_s, goal in (
        ("p50", p50_s, ""),
        ("p95", p95_s, f"at most {GOAL_P95_S:g} s"),
        ("the first, cold", times_s[0], ""),
    ):
        kept.add(what=f"{what}: {title}", value=value_s, unit="s", goal=goal)
    at_most(f"{what}: p95", p95_s, GOAL_P95_S, "s")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--rounds", type=int, default=5)
    record_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, measuring("states", record=options.record) as kept:
        state = take_free_ports(Path(folder) / "real")
        with (
            LocalStack(state, graph=served_graph(options.data), workers=1, backing=EmulatorBacking()) as stack,
            patch.dict(os.environ, stack.services.environment),
            requests.Session() as session,
        ):
            ids = np.sort(fill_table(options.data / CACHE_DUMP, N_IDS))
            status_beside_look_up(kept, session, stack, ids, options.rounds)
            look_ups_beside_waiting(kept, session, stack, ids, options.rounds)
        world = Path(folder) / "world"
        build(world, WorldParameters())
        graph, state = ServedGraph(MADE_GRAPH, ("--world", str(world))), take_free_ports(Path(folder) / "made")
        with LocalStack(state, graph=graph, backing=EmulatorBacking()) as stack:
            wait_for_new(kept, stack, world)


if __name__ == "__main__":
    main()
