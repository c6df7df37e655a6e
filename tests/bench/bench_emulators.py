"""Ingest and edits on the emulators: `python -m tests.bench.bench_emulators [--data DIR] [--edits N]`.

The real data set goes through the three functions on Google's emulators of Bigtable, Pub/Sub and Cloud Tasks. First all
its chunks are ingested, on all cores. The figure is seconds per chunk and core: the time that passes, on every core of
the machine, whatever the emulators and others take of it; and the processor time of the compute function alone. The
steps are those that it logs. Then edits are published, each of some L2 ids of one or two chunks whose rows were taken
out, and the look-up function is asked until all of them are served.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from google.cloud.bigtable.data import BigtableDataClient, DeleteAllFromRow, RowMutationEntry

from infra.local.emulator_backing import INSTANCE, PROJECT, EmulatorBacking
from infra.local.stack import LocalStack
from infra.measurements.goals import at_most
from infra.measurements.record import Table, measuring, record_option
from infra.standin.bigtable_dump import restore_dump
from shared.bus.open import open_bus
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout, chunk_coordinates, node_key
from shared.google.bigtable.address import TableAddress
from shared.types import UInt64Array
from tests.bench.options import data_option
from tests.support.data.real_stack import GRAPH, N_CHUNKS, TABLE, graph_dump, served_graph
from tests.support.data.recorded_rows import recorded_rows
from tests.support.stack.client import look_up, start_ingest, status, wait_until

IDS_PER_EDIT = 7
POLL_S = 0.005
GOAL_S_PER_CHUNK = 0.06


def steps_ms(stack: LocalStack, message: str) -> tuple[int, dict[str, float]]:
    """How many log records of one kind the compute function's services wrote, and each step's milliseconds in them."""
    records, sums = 0, dict[str, float]()
    logs = [(stack.state / "logs" / f"{service}.log").read_text() for service in ("compute", "edits")]
    for line in "\n".join(logs).splitlines():
        if line.startswith("{") and (record := json.loads(line))["message"] == message:
            records += 1
            for name, value in record.items():
                if name.endswith("_ms"):
                    sums[name.removesuffix("_ms")] = sums.get(name.removesuffix("_ms"), 0.0) + value
    return records, sums


def add_steps(table: Table, title: str, sums: dict[str, float], per: int) -> None:
    """Adds each step's time; steps that run beside each other count in full."""
    for name, total_ms in sums.items():
        table.add(what=f"{title}: {name}", value=total_ms / per, unit="ms")


def cpu_s(target: str) -> float:
    """Processor seconds so far of the processes of one function."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # processes end while they are listed
            if f"--target\0{target}\0" in (folder / "cmdline").read_text():
                ticks += sum(map(int, (folder / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def ingest(stack: LocalStack, **fields: Any) -> float:
    """Ingests and waits until it is finished: seconds."""
    start_s = time.perf_counter()
    start_ingest(stack.ingest_url, GRAPH, **fields)
    wait_until(lambda: status(stack.ingest_url, GRAPH)["finished"], "the ingest")
    return time.perf_counter() - start_s


def bench_ingest(stack: LocalStack, table: Table) -> None:
    """Ingests all chunks, and adds what it cost."""
    table.add(what="8 chunks, after a cold start", value=ingest(stack, test=True), unit="s")
    _, before_ms = steps_ms(stack, "block computed")
    before_cpu_s = cpu_s("compute")
    elapsed_s = ingest(stack)
    used_s = cpu_s("compute") - before_cpu_s
    _, after_ms = steps_ms(stack, "block computed")
    cores = os.cpu_count() or 1
    table.add(what=f"all {N_CHUNKS} chunks", value=elapsed_s, unit="s")
    for title, seconds in (("elapsed", elapsed_s * cores), ("processor time of the compute function", used_s)):
        what, value = f"a chunk and core, {title}", seconds / N_CHUNKS
        table.add(what=f"{what} (goal {GOAL_S_PER_CHUNK:g} s)", value=value, unit="s")
        at_most(what, value, GOAL_S_PER_CHUNK, "s")
    steps = {name: total_ms - before_ms.get(name, 0.0) for name, total_ms in after_ms.items()}
    add_steps(table, "a chunk of the ingest", steps, N_CHUNKS)


def edits(l2_ids: UInt64Array, layout: IdLayout, number: int) -> list[list[int]]:
    """Some L2 ids for each of so many edits: neighbours of one chunk, every fourth time of two."""
    chunks = chunk_coordinates(l2_ids, layout)
    _, starts = np.unique(chunks, axis=0, return_index=True)
    groups = [part.tolist() for part in np.split(l2_ids, np.sort(starts)[1:]) if len(part) >= IDS_PER_EDIT]
    rng = np.random.default_rng(5)
    order = rng.permutation(len(groups) * 2) % len(groups)
    chosen = []
    for edit in range(number):
        own = groups[order[edit % len(order)]]
        place = int(rng.integers(len(own) - IDS_PER_EDIT + 1))
        ids = own[place : place + IDS_PER_EDIT]
        other = groups[order[(edit + 1) % len(order)]]
        chosen.append([*ids[:4], *other[:3]] if edit % 4 == 3 else ids)
    return chosen


def bench_edits(stack: LocalStack, chosen: list[list[int]], measured: Table) -> None:
    """Publishes edits one after the other, and adds the time until all of an edit's rows are served."""
    records_before, before_ms = steps_ms(stack, "chunk computed")
    bus = open_bus(stack.services.edits_bus)
    times_ms = []
    with BigtableDataClient(project=PROJECT) as client, client.get_table(INSTANCE, TABLE) as table:
        for operation, l2_ids in enumerate(chosen):
            table.bulk_mutate_rows([RowMutationEntry(node_key(l2_id), [DeleteAllFromRow()]) for l2_id in l2_ids])
            message = {"operation_id": operation, "new_lvl2_ids": l2_ids, "new_root_ids": [], "old_root_ids": []}
            start_s = time.perf_counter()
            bus.publish({"table_id": GRAPH, "user_id": "1", "remesh": "false"}, json.dumps(message).encode())
            while not all(look_up(stack.lookup_url, GRAPH, l2_ids, update_cache="false").values()):
                time.sleep(POLL_S)
            times_ms.append((time.perf_counter() - start_s) * 1000)
    bus.close()
    records, after_ms = steps_ms(stack, "chunk computed")
    p50, p95, first = *np.percentile(times_ms, [50, 95]), times_ms[0]
    for name, value in (("p50", p50), ("p95", p95), ("first", first)):
        measured.add(what=f"{len(chosen)} edits, from publishing to served: {name}", value=float(value), unit="ms")
    steps = {name: total_ms - before_ms.get(name, 0.0) for name, total_ms in after_ms.items()}
    add_steps(measured, "a chunk of an edit", steps, records - records_before)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--edits", type=int, default=60)
    record_option(parser)
    options = parser.parse_args()
    backing = EmulatorBacking(graph_table=GRAPH)
    with (
        tempfile.TemporaryDirectory() as state,
        LocalStack(Path(state), graph=served_graph(options.data), backing=backing) as stack,
        measuring("emulators", record=options.record) as table,
    ):
        os.environ.update(stack.services.environment)
        restore_dump(graph_dump(options.data), TableAddress.parse(str(stack.services.graph_table)))
        bench_ingest(stack, table)
        recorded = recorded_rows(options.data / "tables" / "cache_ingested.ndjson.gz")
        layout = GraphGeometry.from_info(json.loads((options.data / "graphene_info.json").read_text())).layout
        bench_edits(stack, edits(np.array(sorted(recorded), dtype=np.uint64), layout, options.edits), table)


if __name__ == "__main__":
    main()
