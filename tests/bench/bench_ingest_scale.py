"""A made world of 20,000 small chunks, ingested whole: `python -m tests.bench.bench_ingest_scale [--workers 1,2]`.

First with one worker and with two, for the scaling; then again while serving processes are killed at random, after
which all rows must be those of the undisturbed runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import requests

from infra.local.stack import GraphSource, LocalStack
from infra.local.world.build import build, is_built
from infra.local.world.parameters import TABLE, WorldParameters
from shared.store.sqlite import SQLiteStore
from tests.e2e.kills import random_kills, take_free_ports
from tests.e2e.stack_client import start_ingest, status

L2CACHE_ID = f"l2cache_{TABLE}_v1"
SIZE, CHUNK = (480, 480, 384), (16, 16, 16)
LOOK_S = 0.5


def ingest(world: Path, state: Path, workers: int, kill_every_s: float | None = None) -> tuple[float, int]:
    """Seconds of an ingest, and how many processes were killed while it ran."""
    take_free_ports(state)
    with LocalStack(state, graph=GraphSource(TABLE, ("--world", str(world))), workers=workers) as stack:
        kills = contextlib.nullcontext([]) if kill_every_s is None else random_kills(os.getpid(), kill_every_s)
        start_ingest(stack.ingest_url, TABLE, test=True)
        _wait(stack.ingest_url)  # the workers are warm
        start_s = time.perf_counter()
        start_ingest(stack.ingest_url, TABLE)
        with kills as killed:
            _wait(stack.ingest_url)
        return time.perf_counter() - start_s, len(killed)


def _wait(url: str) -> None:
    while True:
        with contextlib.suppress(requests.RequestException):
            now = status(url, TABLE)
            if now["finished"]:
                if now["failed_chunks"]:
                    raise AssertionError(f"{now['failed_chunks']} chunks failed")
                return
        time.sleep(LOOK_S)


def rows(state: Path) -> dict[tuple[bytes, str], bytes]:
    """All cells of the nodes' rows in a stack's table."""
    store = SQLiteStore(state / "cache.db")
    cells = {(cell.row_key, cell.qualifier): cell.value for cell in store.cells(L2CACHE_ID) if cell.row_key.isdigit()}
    store.close()
    return cells


def main() -> int:
    """Prints seconds, scaling and whether the rows agree; the exit status says whether they do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, help="folder of the world, made if it is not there")
    parser.add_argument("--size", default=",".join(map(str, SIZE)), help="of the world, in voxels")
    parser.add_argument("--workers", default="1,2", help="numbers of workers to compare")
    parser.add_argument("--kill-every", type=float, default=3.0, help="mean seconds between kills")
    options = parser.parse_args()
    x, y, z = map(int, options.size.split(","))
    parameters = WorldParameters(size_voxels=(x, y, z), chunk_size_voxels=CHUNK)
    with tempfile.TemporaryDirectory() as folder:
        world = options.world or Path(folder) / "world"
        if not is_built(world, parameters):
            build(world, parameters)
        chunks = parameters.grid_shape[0] * parameters.grid_shape[1] * parameters.grid_shape[2]
        seconds: dict[int, float] = {}
        for workers in map(int, options.workers.split(",")):
            seconds[workers], _ = ingest(world, Path(folder) / str(workers), workers)
            rate = chunks / seconds[workers]
            print(f"{chunks} chunks, {workers} workers: {seconds[workers]:.1f} s, {rate:.0f} chunks/s", flush=True)
        least, most = min(seconds), max(seconds)
        print(f"{least} -> {most} workers: {seconds[least] / seconds[most]:.2f} times as fast", flush=True)
        killed_s, kills = ingest(world, Path(folder) / "killed", most, options.kill_every)
        agree = rows(Path(folder) / "killed") == rows(Path(folder) / str(most))
        print(f"{most} workers, {kills} kills: {killed_s:.1f} s, rows {'agree' if agree else 'DIFFER'}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
