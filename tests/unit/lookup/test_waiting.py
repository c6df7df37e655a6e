from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shared.errors import BadRequestError, StorageUnavailableError
from shared.lookup.wait_preference import WaitPreference, wait_preference
from shared.lookup.waiting import Wait, Waiting
from shared.store.protocol import FAILED, PENDING, UNKNOWN, CachedCells, NodeState, TableMeta
from shared.store.sqlite import SQLiteStore
from shared.types import UInt64Array

TABLE = "cache"
LONG_S = 30.0
NOW_S = float(round(time.time()))


class ObservedStore(SQLiteStore):
    """Remembers how many ids each read was for, and fails when told to."""

    reads: list[int]
    away = False

    def read_cells(self, table_id: str, l2_ids: UInt64Array, attributes: Sequence[str]) -> CachedCells:
        self.reads.append(len(l2_ids))
        if self.away:
            raise StorageUnavailableError("away")
        return super().read_cells(table_id, l2_ids, attributes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObservedStore]:
    store = ObservedStore(tmp_path / "cache.db")
    store.reads = []
    store.create_table(TABLE, TableMeta("graph", "graphene://https://x/y", datetime(2026, 1, 1, tzinfo=UTC)))
    yield store
    store.close()


def ids(*values: int) -> UInt64Array:
    return np.array(values, dtype=np.uint64)


class Request:
    """A request that waits in a thread of its own."""

    def __init__(
        self,
        waiting: Waiting,
        l2_ids: UInt64Array,
        before: dict[int, NodeState] | None = None,
        timeout_s: float = LONG_S,
    ) -> None:
        self.wait = Wait(l2_ids, before or {})
        self._thread = threading.Thread(target=waiting.wait, args=(TABLE, self.wait, timeout_s))
        self._thread.start()

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Wait:
        self._thread.join(LONG_S / 2)
        assert self.is_done
        return self.wait


def until_read(store: ObservedStore, times: int) -> None:
    end_s = time.monotonic() + LONG_S / 2
    wanted = len(store.reads) + times
    while len(store.reads) < wanted:
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_a_request_waits_until_each_id_has_its_row_failed_or_is_unknown(store: ObservedStore) -> None:
    waiting = Waiting(store, 9)
    failed, unknown = NodeState(FAILED, NOW_S, "why"), NodeState(UNKNOWN, NOW_S)
    request = Request(waiting, ids(1, 2, 3))
    store.write_states(TABLE, {1: NodeState(PENDING, NOW_S - 1), 2: failed})
    store.write_voxelless(TABLE, ids(1))
    until_read(store, 2)
    assert not request.is_done
    store.write_states(TABLE, {3: unknown})
    wait = request.result()
    assert (wait.row_ids.tolist(), wait.open_ids.tolist()) == ([1], [])
    assert {l2_id: wait.stored[l2_id] for l2_id in (2, 3)} == {2: failed, 3: unknown}


def test_only_what_is_open_is_read_again(store: ObservedStore) -> None:
    waiting = Waiting(store, 9)
    store.write_voxelless(TABLE, ids(1, 2))
    request = Request(waiting, ids(1, 2, 3))
    until_read(store, 3)
    assert store.reads[:3] == [3, 1, 1]
    waiting.close()
    assert request.result().open_ids.tolist() == [3]


def test_what_failed_before_is_no_news(store: ObservedStore) -> None:
    before = NodeState(FAILED, NOW_S - 5, "why")
    store.write_states(TABLE, {1: before})
    waiting = Waiting(store, 9)
    request = Request(waiting, ids(1), {1: before})
    until_read(store, 2)
    assert not request.is_done
    store.write_states(TABLE, {1: NodeState(FAILED, NOW_S, "why")})
    assert request.result().stored[1].since_s == NOW_S


def test_when_the_time_is_over_it_says_what_there_is(store: ObservedStore) -> None:
    waiting = Waiting(store, 9)
    store.write_voxelless(TABLE, ids(1))
    wait = Request(waiting, ids(1, 2), timeout_s=0.3).result()
    assert (wait.row_ids.tolist(), wait.open_ids.tolist()) == ([1], [2])


def test_many_requests_cost_one_read_at_a_time(store: ObservedStore) -> None:
    waiting = Waiting(store, 99)
    requests = [Request(waiting, ids(*range(n, n + 10))) for n in range(50)]
    until_read(store, 1)
    store.reads.clear()
    until_read(store, 3)
    assert set(store.reads) == {59}
    store.write_voxelless(TABLE, ids(*range(59)))
    assert all(not request.result().open_ids.size for request in requests)


def test_a_table_that_nobody_waited_for_for_a_while_is_read_again(store: ObservedStore) -> None:
    waiting = Waiting(store, 9)
    for l2_id in (1, 2):
        request = Request(waiting, ids(l2_id))
        until_read(store, 1)
        store.write_voxelless(TABLE, ids(l2_id))
        assert request.result().row_ids.tolist() == [l2_id]


def test_a_storage_that_is_away_for_a_moment_ends_no_waiting(store: ObservedStore) -> None:
    waiting = Waiting(store, 9)
    store.away = True
    request = Request(waiting, ids(1))
    until_read(store, 2)
    store.write_voxelless(TABLE, ids(1))
    store.away = False
    assert request.result().row_ids.tolist() == [1]


def test_no_more_requests_wait_than_may(store: ObservedStore) -> None:
    waiting = Waiting(store, 1)
    with waiting.place() as first:
        with waiting.place() as second:
            assert (first, second) == (True, False)
        with waiting.place() as third:
            assert not third
    with waiting.place() as fourth:
        assert fourth


def test_the_end_of_the_process_ends_all_waiting(store: ObservedStore) -> None:
    ending = threading.Event()
    waiting = Waiting(store, 9, ending.is_set)
    requests = [Request(waiting, ids(n)) for n in range(3)]
    until_read(store, 1)
    ending.set()
    assert [request.result().open_ids.tolist() for request in requests] == [[0], [1], [2]]
    with waiting.place() as may_wait:
        assert not may_wait
    assert Request(waiting, ids(1)).result().open_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("parameters", "prefer", "expected"),
    [
        ({}, [], WaitPreference()),
        ({"wait": ["0"]}, ["wait=5"], WaitPreference()),
        ({"wait": ["2.5"]}, [], WaitPreference(2.5)),
        ({"wait": ["30"]}, [], WaitPreference(30.0)),
        ({}, ["wait=5"], WaitPreference(5.0, "wait=5")),
        ({}, ["respond-async, Wait = 7"], WaitPreference(7.0, "wait=7")),
        ({}, ["return=minimal", 'wait="3"'], WaitPreference(3.0, "wait=3")),
        ({}, ["wait=600"], WaitPreference(30.0, "wait=30")),
        ({}, ["wait=soon"], WaitPreference()),
    ],
)
def test_how_long_a_request_asks_to_wait(
    parameters: dict[str, list[str]], prefer: list[str], expected: WaitPreference
) -> None:
    assert wait_preference(parameters, prefer) == expected


@pytest.mark.parametrize("value", ["", "-1", "30.1", "31", "soon", "nan", "1e1", "5s"])
def test_a_wait_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(BadRequestError, match="wait must be a number of seconds from 0 to 30"):
        wait_preference({"wait": [value]}, [])
