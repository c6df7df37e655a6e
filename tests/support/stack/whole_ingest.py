"""Ingests of a made world on a stack of their own, undisturbed, with random kills or with another fault."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests

from infra.local.backing import Backing
from infra.local.emulator_backing import INSTANCE, PROJECT
from infra.local.stack import LocalStack, ServedGraph
from infra.standin.world.parameters import TABLE
from shared.store.sqlite import SQLiteStore
from tests.support.stack.client import start_ingest, status, wait_until
from tests.support.stack.kills import random_kills
from tests.support.stack.ports import take_free_ports

L2CACHE_ID = f"l2cache_{TABLE}_v1"
LOOK_S = 0.25
WAIT_S = 1200.0
MOST_KILLS = 40


@dataclass(frozen=True)
class Ingested:
    """Seconds of an ingest, how many processes were killed while it ran, and all cells of the nodes' rows."""

    seconds: float
    kills: int
    cells: dict[tuple[bytes, str], bytes]


def ingest(
    world: Path,
    state: Path,
    workers: int,
    backing: Backing,
    kill_every_s: float | None = None,
    most_kills: int = MOST_KILLS,
    fault: Callable[[LocalStack], AbstractContextManager[None]] | None = None,
) -> Ingested:
    """Ingests a world, after the eight chunks of a test run have warmed the workers.

    Args:
      world: folder of the world.
      state: a new folder for the stack.
      workers: chunk tasks at a time.
      backing: tables, bus and queue.
      kill_every_s: mean time between kills; None for none.
      most_kills: kills, after which it is calm: on a slow machine no process gets anywhere between two of them.
      fault: entered as soon as the first chunks are computed, and left when the ingest has ended.
    """
    take_free_ports(state)
    graph = ServedGraph(TABLE, ("--world", str(world)))
    with LocalStack(state, graph=graph, workers=workers, backing=backing) as stack:
        start_ingest(stack.ingest_url, TABLE, test=True)
        _wait(stack.ingest_url)
        start_s = time.perf_counter()
        start_ingest(stack.ingest_url, TABLE)
        kills = (
            contextlib.nullcontext([]) if kill_every_s is None else random_kills(os.getpid(), kill_every_s, most_kills)
        )
        with kills as killed, contextlib.ExitStack() as disturbed:
            if fault is not None:
                wait_until(lambda: _completed(stack.ingest_url) > 0, "the first chunks", look_s=LOOK_S)
                disturbed.enter_context(fault(stack))
            _wait(stack.ingest_url)
        return Ingested(time.perf_counter() - start_s, len(killed), dict(_cells(stack)))


def _completed(url: str) -> int:
    return int(status(url, TABLE)["completed_chunks"])


def _wait(url: str) -> None:
    def finished() -> Any:
        with contextlib.suppress(requests.RequestException):  # the ingest function was just killed
            now = status(url, TABLE)
            return now if now["finished"] else None

    end = wait_until(finished, "the end of the ingest", WAIT_S, LOOK_S)
    assert end["failed_chunks"] == 0, end


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
