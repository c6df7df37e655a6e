"""A made world of 20,000 small chunks, ingested whole: `python -m tests.bench.bench_ingest_scale [--workers 1,2]`.

First with one worker and with two, in turns, for the scaling; then again while serving processes are killed at random,
after which all rows must be those of the undisturbed runs. With `--emulators` all of it on Google's emulators.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import requests

from infra.local.backing import Backing, embedded
from infra.local.emulator_backing import INSTANCE, PROJECT, EmulatorBacking
from infra.local.stack import GraphSource, LocalStack
from infra.local.world.build import build, is_built
from infra.local.world.parameters import TABLE, WorldParameters
from shared.store.sqlite import SQLiteStore
from tests.e2e.kills import random_kills, take_free_ports
from tests.e2e.stack_client import start_ingest, status

L2CACHE_ID = f"l2cache_{TABLE}_v1"
SIZE, CHUNK = (480, 480, 384), (16, 16, 16)
LOOK_S = 0.25
Cells = dict[tuple[bytes, str], bytes]


@dataclass(frozen=True)
class Ingested:
    """Seconds of an ingest, how many processes were killed while it ran, and all cells of the nodes' rows."""

    seconds: float
    kills: int
    cells: Cells


def ingest(world: Path, state: Path, workers: int, backing: Backing, kill_every_s: float | None = None) -> Ingested:
    """Ingests a world on a stack of its own."""
    take_free_ports(state)
    graph = GraphSource(TABLE, ("--world", str(world)))
    with LocalStack(state, graph=graph, workers=workers, backing=backing) as stack:
        kills = contextlib.nullcontext([]) if kill_every_s is None else random_kills(os.getpid(), kill_every_s)
        start_ingest(stack.ingest_url, TABLE, test=True)
        _wait(stack.ingest_url)  # the workers are warm
        start_s = time.perf_counter()
        start_ingest(stack.ingest_url, TABLE)
        with kills as killed:
            _wait(stack.ingest_url)
        return Ingested(time.perf_counter() - start_s, len(killed), dict(_cells(stack)))


def _wait(url: str) -> None:
    while True:
        with contextlib.suppress(requests.RequestException):
            now = status(url, TABLE)
            if now["finished"]:
                if now["failed_chunks"]:
                    raise AssertionError(f"{now['failed_chunks']} chunks failed")
                return
        time.sleep(LOOK_S)


def _cells(stack: LocalStack) -> Iterator[tuple[tuple[bytes, str], bytes]]:
    if stack.services.store.startswith("sqlite:"):
        store = SQLiteStore(stack.state / "cache.db")
        cells = ((cell.row_key, cell.qualifier, cell.value) for cell in store.cells(L2CACHE_ID))
        yield from (((key, name), value) for key, name, value in cells if key.isdigit())
        store.close()
        return
    from google.cloud.bigtable.data import BigtableDataClient, ReadRowsQuery

    with (
        patch.dict(os.environ, stack.services.environment),
        BigtableDataClient(project=PROJECT) as client,
        client.get_table(INSTANCE, L2CACHE_ID) as table,
    ):
        for row in table.read_rows_stream(ReadRowsQuery(), operation_timeout=600):
            if row.row_key.isdigit():
                yield from (((row.row_key, cell.qualifier.decode()), cell.value) for cell in row)


def main() -> int:
    """Prints seconds, scaling and whether the rows agree; the exit status says whether they do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, help="folder of the world, made if it is not there")
    parser.add_argument("--size", default=",".join(map(str, SIZE)), help="of the world, in voxels")
    parser.add_argument("--workers", default="1,2", help="numbers of workers to compare")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each; the fastest counts")
    parser.add_argument("--emulators", action="store_true", help="Google's emulators instead of SQLite files")
    parser.add_argument("--kill-every", type=float, default=1.0, help="mean seconds between kills")
    options = parser.parse_args()
    x, y, z = map(int, options.size.split(","))
    parameters = WorldParameters(size_voxels=(x, y, z), chunk_size_voxels=CHUNK)
    backing: Backing = EmulatorBacking() if options.emulators else embedded
    with tempfile.TemporaryDirectory() as folder:
        world = options.world or Path(folder) / "world"
        if not is_built(world, parameters):
            build(world, parameters)
        chunks = parameters.grid_shape[0] * parameters.grid_shape[1] * parameters.grid_shape[2]
        seconds: dict[int, float] = {}
        cells: Cells = {}
        for turn in range(options.repeats):
            for workers in map(int, options.workers.split(",")):
                done = ingest(world, Path(folder) / f"{workers}-{turn}", workers, backing)
                seconds[workers] = min(done.seconds, seconds.get(workers, done.seconds))
                cells = done.cells
                rate = chunks / done.seconds
                print(f"{chunks} chunks, {workers} workers: {done.seconds:.1f} s, {rate:.0f} chunks/s", flush=True)
        least, most = min(seconds), max(seconds)
        if most > least:
            print(f"{least} -> {most} workers: {seconds[least] / seconds[most]:.2f} times as fast", flush=True)
        killed = ingest(world, Path(folder) / "killed", most, backing, options.kill_every)
        agree = killed.cells == cells
        print(
            f"{most} workers, {killed.kills} kills: {killed.seconds:.1f} s, "
            f"{len(cells)} cells {'agree' if agree else 'DIFFER'}"
        )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
