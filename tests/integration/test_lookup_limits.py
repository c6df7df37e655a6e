"""What the look-up function refuses to do too much of, and the trace that joins it to what it sets off."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shared.messages.messages import TRACE_ATTRIBUTE
from shared.sqlite.deliveries import Deliveries
from shared.store.protocol import TableMeta
from tests.support.graph.servers import serving
from tests.support.lookup_setup import ATTRIBUTES_PATH, DATASET, TABLE, World, graph_app, json_of, propagated

INFO = {
    "data_dir": "file:///nowhere",
    "graph": {"chunk_size": [64, 64, 64], "spatial_bit_masks": {"1": 8, "2": 8, "3": 4}},
    "scales": [{"size": [250, 250, 250], "voxel_offset": [0, 0, 0], "resolution": [8, 8, 40]}],
}
MISSING = np.array([(2 << 56) | 77], dtype=np.uint64).tobytes()
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(graph_app(INFO)) as url:
        world = World(tmp_path, url)
        store = world.store
        store.create_table(TABLE, TableMeta(DATASET, world.cv_path, datetime(2026, 1, 1, tzinfo=UTC)))
        store.close()
        yield world


def in_one_minute() -> None:
    """Waits if a minute is about to end: what follows takes far less than what is left of it."""
    while time.time() % 60 > 57:
        time.sleep(0.05)


def test_too_many_requests_of_one_caller_are_told_when_to_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="3")
    in_one_minute()
    answers = [client.post(ATTRIBUTES_PATH, data=MISSING, headers=RAW) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert json_of(answers[-1])["code"] == 429
    assert "3 requests" in json_of(answers[-1])["message"]


def test_other_callers_and_what_needs_no_storage_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="1")
    in_one_minute()
    for address, expected in (("203.0.113.1", 200), ("203.0.113.1", 429), ("203.0.113.2", 200)):
        headers = {**RAW, "X-Forwarded-For": f"192.0.2.{expected % 7}, {address}"}
        assert client.post(ATTRIBUTES_PATH, data=MISSING, headers=headers).status_code == expected
    assert [client.get(path).status_code for path in ("/health", "/l2cache/api/v1/table_mapping")] == [200, 200]


def test_zero_switches_the_limit_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="0")
    assert {client.post(ATTRIBUTES_PATH, data=MISSING, headers=RAW).status_code for _ in range(700)} == {200}


def test_all_instances_together_keep_the_limit_and_say_how_the_caller_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="5") for _ in range(4)]
    in_one_minute()
    answers = [client.post(ATTRIBUTES_PATH, data=MISSING, headers=RAW) for client in several * 3]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 7
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"5"}
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == [*"43210", *"0000000"]
    (reset_s,) = {int(answer.headers["X-RateLimit-Reset"]) for answer in answers}
    assert reset_s % 60 == 0
    assert all(abs(reset_s - time.time() - int(answer.headers["Retry-After"])) < 3 for answer in answers[5:])
    assert all("X-RateLimit-Limit-Ids" not in answer.headers for answer in answers)


def test_ids_of_one_caller_have_a_limit_of_their_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"L2CACHE_IDS_PER_MINUTE": "100", "L2CACHE_REQUESTS_PER_MINUTE": "0"}
    several = [world.client(monkeypatch, **limits) for _ in range(2)]
    in_one_minute()
    asked = [(0, 60), (1, 50), (1, 40), (0, 1), (0, 101)]
    answers = [several[n].post(ATTRIBUTES_PATH, data=misses(1, count), headers=RAW) for n, count in asked]
    assert [answer.status_code for answer in answers] == [200, 429, 200, 429, 413]
    assert "100 ids in a minute" in json_of(answers[1])["message"]
    assert 1 <= int(answers[1].headers["Retry-After"]) <= 60
    assert "101 ids were asked for, at most 100" in json_of(answers[4])["message"]
    remaining = [answer.headers.get("X-RateLimit-Remaining-Ids") for answer in answers]
    assert remaining == ["40", "40", "0", "0", None]
    assert [answer.headers.get("X-RateLimit-Limit-Ids") for answer in answers[:4]] == ["100"] * 4


def test_limits_of_zero_need_no_storage_and_add_no_headers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="0")
    answer = client.post(ATTRIBUTES_PATH, data=MISSING, headers=RAW)
    assert not [name for name in answer.headers.keys() if name.startswith("X-RateLimit")]  # noqa: SIM118
    with closing(sqlite3.connect(world.folder / "cache.db")) as connection:
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name = 'quota'").fetchall()


def test_storage_that_is_locked_refuses_nobody_who_has_a_quota(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="3")
    in_one_minute()
    other = {**RAW, "X-Forwarded-For": "203.0.113.7"}
    assert client.post(ATTRIBUTES_PATH, data=MISSING, headers=other).status_code == 200
    with closing(sqlite3.connect(world.folder / "cache.db", isolation_level=None)) as lock, propagated(caplog):
        lock.execute("BEGIN IMMEDIATE")
        answers = [client.post(ATTRIBUTES_PATH, data=MISSING, headers=RAW) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 5
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers[:3]] == ["2", "1", "0"]
    assert caplog.messages.count("quotas are counted in this instance alone") == 1


def misses(start: int, count: int) -> bytes:
    """A body that asks for so many ids that are not cached."""
    return (np.arange(start, start + count, dtype=np.uint64) | np.uint64(2 << 56)).tobytes()


def test_more_misses_than_a_caller_may_cause_are_answered_and_not_published(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.client(monkeypatch, L2CACHE_MISSES_PER_MINUTE="30")
    with propagated(caplog):
        for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2"):
            headers = {**RAW, "X-Forwarded-For": address}
            assert len(json_of(client.post(ATTRIBUTES_PATH, data=misses(1, 50), headers=headers))) == 50
    fields = [record.__dict__["fields"] for record in caplog.records if record.message == "request"]
    assert [(f["misses"], f["published"], f["withheld"]) for f in fields] == [(50, 30, 20), (50, 0, 20), (50, 20, 0)]
    assert len(set(world.published_ids())) == 50


def test_a_bus_that_is_locked_delays_no_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.client(monkeypatch, L2CACHE_PUBLISH_WAIT_S="0.2")
    assert client.post(ATTRIBUTES_PATH, data=misses(1, 1), headers=RAW).status_code == 200
    counts = (1_000, 4_000, 10_000)
    with closing(sqlite3.connect(world.folder / "bus.db", isolation_level=None)) as lock, propagated(caplog):
        lock.execute("BEGIN IMMEDIATE")
        started_s = time.monotonic()
        for count in counts:
            assert len(json_of(client.post(ATTRIBUTES_PATH, data=misses(2, count), headers=RAW))) == count
        # Each message would wait for 30 s.
        assert time.monotonic() - started_s < 15
    fields = [record.__dict__["fields"] for record in caplog.records if record.message == "request"]
    assert [f["misses"] for f in fields] == list(counts)
    assert [f["published"] for f in fields] == [0, 0, 0]
    assert all(f["unpublished"] > 0 for f in fields)
    assert "publishing misses has stopped" in caplog.messages
    give_up_s = time.monotonic() + 60
    while len(world.published_ids()) < 500:
        assert time.monotonic() < give_up_s, "what was under way was not published when the bus was free again"
        time.sleep(0.05)


@pytest.mark.parametrize("header", ["traceparent", "X-Cloud-Trace-Context"])
def test_a_miss_carries_the_trace_of_the_look_up_that_found_it(
    world: World, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    value = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-Cloud-Trace-Context": f"{trace}/1;o=1"}[header]
    client = world.client(monkeypatch)
    assert client.post(ATTRIBUTES_PATH, data=MISSING, headers={**RAW, header: value}).status_code == 200
    deliveries = Deliveries(world.folder / "bus.db")
    (lease,) = deliveries.lease(10, time.time() + 1)
    deliveries.close()
    assert lease.attributes[TRACE_ATTRIBUTE].split("-")[1] == trace
    assert lease.attributes[TRACE_ATTRIBUTE].split("-")[2] != "00f067aa0ba902b7"


def test_without_a_trace_a_miss_carries_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.client(monkeypatch).post(ATTRIBUTES_PATH, data=MISSING, headers=RAW)
    deliveries = Deliveries(world.folder / "bus.db")
    (lease,) = deliveries.lease(10, time.time() + 1)
    deliveries.close()
    assert sorted(lease.attributes) == ["l2_cache_id", "table_id"]
