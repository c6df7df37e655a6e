"""Whatever the look-up waits for may hang: the client is answered all the same, while it still listens."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import flask
import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.deadline import within
from shared.errors import StorageUnavailableError
from shared.google.bigtable.clients import DataClients
from shared.store.bigtable import BigtableStore
from shared.store.protocol import TableMeta
from tests.integration.test_lookup_function import INFO, MISSING
from tests.support.graph.servers import serving
from tests.support.lookup_setup import ATTRIBUTES_PATH, DATASET, TABLE, World, json_of

ANSWER_S = 0.4
MUCH_LONGER_S = 8.0  # than the limit, on a busy machine too, and shorter than any time-out but the answer's


class SlowGraph:
    """A graph server that answers when it is told to."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.asked = 0

    def app(self) -> flask.Flask:
        app = flask.Flask("graph")

        @app.get(f"/segmentation/table/{DATASET}/info")
        def info() -> flask.Response:
            self.asked += 1
            self.free.wait(30)
            return flask.jsonify(INFO)

        return app


@pytest.fixture
def graph() -> Iterator[SlowGraph]:
    graph = SlowGraph()
    yield graph
    graph.free.set()


@pytest.fixture
def world(tmp_path: Path, graph: SlowGraph) -> Iterator[World]:
    with serving(graph.app()) as url:
        world = World(tmp_path, url)
        store = world.store
        store.create_table(TABLE, TableMeta(DATASET, world.cv_path, datetime(2026, 1, 1, tzinfo=UTC)))
        store.close()
        yield world
        graph.free.set()


def ask(client: FlaskClient) -> TestResponse:
    return client.post(ATTRIBUTES_PATH, json={"l2_ids": MISSING})


@contextmanager
def soon() -> Iterator[None]:
    started_s = time.monotonic()
    yield
    assert time.monotonic() - started_s < MUCH_LONGER_S


def test_a_graph_server_that_hangs_is_a_503_and_its_late_answer_is_kept(
    world: World, graph: SlowGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = world.client(monkeypatch, L2CACHE_ANSWER_S=str(ANSWER_S)).application
    with soon(), ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: ask(application.test_client()), range(3)))
    assert {answer.status_code for answer in answers} == {503}
    assert "graph server" in json_of(answers[0])["message"]
    assert "Retry-After" in answers[0].headers
    graph.free.set()
    give_up_s = time.monotonic() + 30
    while (answer := ask(application.test_client())).status_code != 200:
        assert time.monotonic() < give_up_s, answer.text
    assert graph.asked == 1


def test_a_locked_store_is_a_503(world: World, graph: SlowGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    graph.free.set()
    client = world.client(monkeypatch, L2CACHE_ANSWER_S=str(ANSWER_S))
    with closing(sqlite3.connect(world.folder / "cache.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE mine (x)")
        with soon():
            answer = ask(client)
    assert answer.status_code == 503
    assert "storage" in json_of(answer)["message"]


def test_a_bus_that_hangs_costs_no_more_than_the_time_that_is_left(
    world: World, graph: SlowGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.free.set()
    client = world.client(monkeypatch, L2CACHE_ANSWER_S="1.5", L2CACHE_PUBLISH_WAIT_S="60")
    with closing(sqlite3.connect(world.folder / "bus.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        with soon():
            assert ask(client).status_code == 200


@pytest.mark.parametrize("ids", [1, 6000])
def test_a_bigtable_that_hangs_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch, ids: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", f"127.0.0.1:{silent.getsockname()[1]}")
        clients = DataClients()
        store = BigtableStore("project", "instance", clients)
        clients.streams("project"), clients.rows()  # made before: loading its libraries takes a while
        with soon(), within(ANSWER_S), pytest.raises(StorageUnavailableError):
            store.read_cells(TABLE, np.arange(1, ids + 1, dtype=np.uint64), ["size_nm3"])
        with soon(), within(ANSWER_S), pytest.raises(StorageUnavailableError):
            store.read_states(TABLE, np.arange(1, ids + 1, dtype=np.uint64))
        clients.close()


def test_ten_thousand_ids_are_answered_in_time_in_each_form_while_all_of_bigtable_hangs(
    world: World, graph: SlowGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.free.set()
    first = MISSING[0]
    body = np.arange(first, first + 10_000, dtype="<u8").tobytes()
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", f"127.0.0.1:{silent.getsockname()[1]}")
        changes = {"L2CACHE_STORE": "bigtable://project/instance", "L2CACHE_ANSWER_S": str(ANSWER_S)}
        client = world.client(monkeypatch, **changes)
        ask(client)  # loads libraries
        for path in (
            ATTRIBUTES_PATH,
            f"{ATTRIBUTES_PATH}?format=arrow",
            ATTRIBUTES_PATH.replace("attributes", "status"),
        ):
            with soon():
                answer = client.post(path, data=body, headers={"Content-Type": "application/octet-stream"})
            assert answer.status_code == 503
            assert "Retry-After" in answer.headers
