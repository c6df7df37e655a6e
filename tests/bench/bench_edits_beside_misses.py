"""Edits while very many misses wait: `python -m tests.bench.bench_edits_beside_misses [--misses N] [--stack NAME]`.

On a made brain of which some chunks are ingested, misses are published as look-ups do it: half of the ids are of nodes
without a row, again and again, the other half was never given to a node. While the compute function works on them,
edits are made at the graph server, one after the other, and the look-up function is asked until all new L2 ids of each
are served. The first edit loads what a process of the service needs; it is shown apart as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from infra.local.backing import Backing, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.local.stack import LocalStack, ServedGraph
from infra.measurements.goals import at_most
from infra.measurements.record import measuring, record_option
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from tests.support.graph.made_worlds import l2_ids_of
from tests.support.stack.client import start_ingest, status, wait_until
from tests.support.stack.edits_and_misses import edits, publish_misses, seconds_until_served, unknown_ids
from tests.support.stack.ports import take_free_ports

GOAL_P95_S = 5.0
STACKS: dict[str, Backing] = {"embedded": embedded, "emulators": EmulatorBacking()}


def misses_handled(stack: LocalStack) -> int:
    """How many messages of misses the compute function has answered so far."""
    lines = (stack.state / "logs" / "compute.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return sum(record["message"] == "message handled" and record.get("kind") == "miss" for record in records)


def bench(
    stack: LocalStack, world: Path, description: dict[str, object], options: argparse.Namespace
) -> dict[str, float]:
    """Publishes the misses and makes the edits; what they took, in seconds."""
    start_ingest(stack.ingest_url, TABLE, test=True)
    wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "the test ingest, which makes the table")
    made = edits(stack, description)
    alone_s = [seconds_until_served(stack, next(made)) for _ in range(options.edits)]
    known = np.resize(l2_ids_of(world), options.misses // 2)
    ids = np.concatenate([known, unknown_ids(world, options.misses - len(known))])
    start_s = time.monotonic()
    published = publish_misses(stack, np.random.default_rng(1).permutation(ids), options.ids_per_message)
    took_s = time.monotonic() - start_s
    print(f"{options.misses} misses published in {published} messages, {took_s:.1f} s")
    before, start_s, times_s = misses_handled(stack), time.monotonic(), list[float]()
    for new_ids in itertools.islice(made, options.edits):
        times_s.append(seconds_until_served(stack, new_ids))
        time.sleep(options.pause_s)
    handled, elapsed_s = misses_handled(stack) - before, time.monotonic() - start_s
    waiting = published - before - handled
    print(f"meanwhile, in {elapsed_s:.0f} s, {handled} messages of misses were answered and {waiting} still waited")
    p50, p95 = np.percentile(times_s, [50, 95]).tolist()
    at_most(f"edits beside {options.misses:,} misses: p95", p95, GOAL_P95_S, "s")
    return {"p50_s": p50, "p95_s": p95, "first_s": alone_s[0], "alone_p95_s": float(np.percentile(alone_s, 95))}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", type=int, default=1_000_000, help="ids that are missing")
    parser.add_argument("--ids-per-message", type=int, default=500, help="500 is what the look-up puts into one")
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--pause-s", type=float, default=0.25, help="between edits")
    parser.add_argument("--stack", choices=STACKS, help="both if it is left out")
    record_option(parser)
    options = parser.parse_args()
    with measuring("edits_beside_misses", record=options.record) as table:
        for name in [options.stack] if options.stack else STACKS:
            print(f"--- {name}", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                world, state = Path(folder) / "world", Path(folder) / "state"
                description = build(world, WorldParameters())
                take_free_ports(state)
                graph = ServedGraph(TABLE, ("--world", str(world)))
                with (
                    LocalStack(state, graph=graph, backing=STACKS[name]) as stack,
                    patch.dict(os.environ, stack.services.environment),
                ):
                    measured = bench(stack, world, description, options)
            table.add(stack=name, misses=options.misses, edits=options.edits, **measured)


if __name__ == "__main__":
    main()
