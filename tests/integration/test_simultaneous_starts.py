"""Many operators who start an ingest at the same instant: one of them does, on every store."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.local.emulators import Emulator
from shared.errors import RunConflictError
from shared.ingest.control.request import StartRequest
from shared.ingest.control.service import IngestService
from shared.ingest.ledger import Ledger
from shared.store.open import open_store
from shared.tasks.open import open_queue
from tests.support.graph.small import GEOMETRY, GRAPH_ID, TABLE_ID, SmallCache

STARTS = 16
ROUNDS = 40


@pytest.fixture(params=["sqlite", "bigtable"])
def store_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/cache.db"
    emulator: Emulator = request.getfixturevalue("bigtable_environment")
    assert emulator.endpoint
    return f"bigtable://starts/{tmp_path.name.replace('_', '-').lower()}"


def test_one_of_many_simultaneous_starts_begins_a_run(store_address: str, tmp_path: Path) -> None:
    store = open_store(store_address)
    service = IngestService(
        SmallCache(tmp_path).datasets, lambda _: GEOMETRY, store, open_queue(f"sqlite://{tmp_path}/queue.db"), 4
    )
    ledger = Ledger(store, TABLE_ID)
    first = datetime(2020, 1, 1, tzinfo=UTC)

    def start(number: int) -> str:
        # Half of them start the same ingest, the others one of their own.
        moment = first + timedelta(days=turn, seconds=max(0, number - STARTS // 2))
        barrier.wait()
        try:
            return service.start(StartRequest(GRAPH_ID, moment)).run.run_id
        except RunConflictError:
            return "refused"

    with ThreadPoolExecutor(STARTS) as pool:
        for turn in range(ROUNDS):
            barrier = threading.Barrier(STARTS)
            answers = Counter(pool.map(start, range(STARTS)))
            assert answers.pop("refused") == STARTS - 1
            (run_id,) = answers
            runs = ledger.known().readable
            assert len(runs) == turn + 1
            assert (runs[-1].run_id, runs[-1].generation) == (run_id, 0)
            service.cancel(GRAPH_ID, run_id)
    store.close()
