"""The local dispatcher: who gets what, and what it does when its file is locked, its disk full, or a thread fails."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from werkzeug import Request, Response

from infra.local.dispatch import dispatch
from infra.local.lanes import DeliveriesFile
from infra.local.posting import Receivers, envelope
from shared.bus.open import open_bus
from shared.messages.cloud_events import parse_push
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Counts, Delivery, Kind, Lease
from tests.support.graph.servers import serving
from tests.support.stack.small_disk import full, small_disk

ROOT = Path(__file__).resolve().parents[2]
MISS, EDIT = {"table_id": "graph", "l2_cache_id": "cache"}, {"table_id": "graph", "remesh_priority": "true"}
SLOTS: dict[Kind, int] = {"edit": 1, "message": 2, "ingest": 1, "compute": 1}
DEADLINE_S = 0.1
WAIT_S = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.01)


class Function:
    """A function that takes what is posted to it, once it is let.

    Attributes:
      bodies: data of messages and bodies of tasks, in the order in which they came.
      letting: while it is set, answers are given.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.letting = threading.Event()
        self.letting.set()

    @Request.application
    def __call__(self, request: Request) -> Response:
        raw = request.get_data()
        self.bodies.append(parse_push(dict(request.headers), raw).data if "ce-type" in request.headers else raw)
        self.letting.wait(WAIT_S)
        return Response(status=204)


class Site:
    """A dispatcher in this process, and functions that it delivers to."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self.path = folder / "deliveries.db"
        self.compute, self.edits, self.ingest = functions = [Function() for _ in range(3)]
        self.receivers = Receivers(*(running.enter_context(serving(function)) for function in functions))
        self.deliveries = Deliveries(self.path, deadline_s=DEADLINE_S)
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        running.callback(self._stop)

    def start(self) -> None:
        self._thread.start()

    def counts(self, kind: Kind) -> Counts:
        return self.deliveries.counts().get(kind, Counts())

    def _run(self) -> None:
        dispatch(DeliveriesFile(self.deliveries, self.stopping), SLOTS, self.receivers, self.stopping, renew_s=0.05)

    def _stop(self) -> None:
        for function in (self.compute, self.edits, self.ingest):
            function.letting.set()
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.deliveries.close()


@contextmanager
def site_on(folder: Path) -> Iterator[Site]:
    with ExitStack() as running:
        yield Site(folder, running)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_on(tmp_path) as site:
        yield site


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Has the file locked by somebody else while the block lasts."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """The threads that have logged a message."""
    monkeypatch.setattr(logging.getLogger("l2cache"), "propagate", True)
    caplog.set_level(logging.INFO, "l2cache")

    def threads(message: str) -> list[str]:
        return [record.fields["thread"] for record in caplog.records if record.getMessage() == message]  # type: ignore[attr-defined]

    return threads


def test_each_kind_goes_to_its_function(site: Site) -> None:
    bus = open_bus(f"sqlite://{site.path}")
    bus.publish(MISS, b"miss")
    bus.publish(EDIT, b"edit")
    bus.publish({**EDIT, "remesh_priority": "false"}, b"slow edit")
    bus.close()
    tasks = [Delivery("compute", b"leaf", {}, "a", "/chunks"), Delivery("ingest", b"inner", {}, "b", "/expand")]
    site.deliveries.add(tasks)
    site.start()
    wait_until(lambda: sum(counts.done for counts in site.deliveries.counts().values()) == 5, "five deliveries")
    assert sorted(site.compute.bodies) == [b"leaf", b"miss", b"slow edit"]
    assert (site.edits.bodies, site.ingest.bodies) == ([b"edit"], [b"inner"])


def test_messages_of_files_without_kinds_of_their_own_for_edits_are_delivered(site: Site) -> None:
    site.deliveries.add([Delivery("message", b"old edit", EDIT)])
    site.start()
    wait_until(lambda: site.counts("message").done == 1, "the old edit")
    assert site.compute.bodies == [b"old edit"]


def test_edits_are_delivered_while_the_compute_function_answers_nothing(site: Site) -> None:
    site.compute.letting.clear()
    bus = open_bus(f"sqlite://{site.path}")
    for number in range(50):
        bus.publish(MISS, b"%d" % number)
    site.deliveries.add([Delivery("compute", b"leaf", {}, "a", "/chunks")])
    site.start()
    wait_until(lambda: len(site.compute.bodies) == 3, "all slots of the compute function taken")
    for number in range(20):
        bus.publish(EDIT, b"%d" % number)
    bus.close()
    wait_until(lambda: site.counts("edit").done == 20, "the edits")
    assert site.counts("message") == Counts(waiting=48, leased=2)


def test_an_envelope_tells_how_often_it_was_delivered() -> None:
    body, headers = envelope(Lease(5, "message", "", "", MISS, b"data", attempt=3))
    delivered = parse_push(headers, body)
    assert (delivered.message_id, delivered.attributes, delivered.data, delivered.attempt) == ("5", MISS, b"data", 3)


def test_what_is_under_way_is_renewed(site: Site) -> None:
    site.compute.letting.clear()
    site.deliveries.add([Delivery("message", b"long", MISS)])
    site.start()
    wait_until(lambda: len(site.compute.bodies) == 1, "the delivery")

    def lease_end_s() -> float:
        file = sqlite3.connect(site.path)
        ((end_s,),) = file.execute("SELECT due_s FROM deliveries").fetchall()
        file.close()
        return float(end_s)

    first_s = lease_end_s()
    wait_until(lambda: lease_end_s() > first_s, "a renewal")
    assert site.counts("message") == Counts(leased=1)


def test_an_outcome_is_written_down_when_a_locked_file_is_free_again(
    site: Site, said: Callable[[str], list[str]]
) -> None:
    site.compute.letting.clear()
    site.deliveries.add([Delivery("message", b"first", MISS)])
    site.start()
    wait_until(lambda: len(site.compute.bodies) == 1, "the delivery")
    with locked(site.path):
        site.compute.letting.set()
        wait_until(lambda: "message-0" in said("deliveries are unavailable"), "the outcome that cannot be written")
    wait_until(lambda: site.counts("message") == Counts(done=1), "the outcome")
    site.deliveries.add([Delivery("message", b"second", MISS), Delivery("edit", b"third", EDIT)])
    wait_until(lambda: site.counts("message").done == 2 and site.counts("edit").done == 1, "what came later")
    assert (site.compute.bodies, site.edits.bodies) == ([b"first", b"second"], [b"third"])


def test_a_full_disk_is_waited_out(tmp_path: Path, said: Callable[[str], list[str]]) -> None:
    with small_disk(tmp_path / "disk", 4) as disk, site_on(disk) as site:
        site.compute.letting.clear()
        site.deliveries.add([Delivery("message", b"0", MISS), Delivery("message", b"1", MISS)])
        site.start()
        wait_until(lambda: len(site.compute.bodies) == 2, "two deliveries under way")
        site.deliveries.add([Delivery(kind, b"2", EDIT if kind == "edit" else {}) for kind in SLOTS for _ in range(2)])
        wait_until(lambda: site.counts("edit").done == 2, "the lanes at work")
        with full(disk):
            site.compute.letting.set()
            wait_until(lambda: len(said("deliveries are unavailable")) > 0, "outcomes that cannot be written")
        wait_until(lambda: {counts.done for counts in site.deliveries.counts().values()} == {2, 4}, "everything")
        assert sorted(site.compute.bodies) == [b"0", b"1", b"2", b"2", b"2", b"2"]
        assert {counts.leased for counts in site.deliveries.counts().values()} == {0}


def test_each_outage_is_told_once_by_whoever_meets_it(site: Site, said: Callable[[str], list[str]]) -> None:
    site.compute.letting.clear()
    site.deliveries.add([Delivery("message", b"%d" % number, MISS) for number in range(2)])
    site.start()
    wait_until(lambda: len(site.compute.bodies) == 2, "two deliveries under way")
    for outage in (1, 2):
        with locked(site.path):
            wait_until(lambda n=outage: len(said("deliveries are unavailable")) == n, "an outage")  # type: ignore[misc]
            time.sleep(5 * DEADLINE_S)
        wait_until(lambda n=outage: len(said("deliveries are available again")) == n, "its end")  # type: ignore[misc]
    assert said("deliveries are unavailable") == ["renewal", "renewal"]


@contextmanager
def process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    nowhere = "http://127.0.0.1:9"
    command = [sys.executable, "-m", "infra.local.dispatch", "--deliveries", str(path), "--compute", nowhere]
    command += ["--edits", nowhere, "--ingest", nowhere, "--workers", "1", "--edit-workers", "1"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def test_a_thread_that_fails_ends_the_process_with_a_record(tmp_path: Path) -> None:
    path = tmp_path / "deliveries.db"
    deliveries = Deliveries(path)
    deliveries.add([Delivery("message", b"", MISS)])
    deliveries.close()
    damaged = sqlite3.connect(path)
    with damaged:
        damaged.execute("UPDATE deliveries SET attributes = 'no JSON'")
    damaged.close()
    with process(path) as running:
        _, log = running.communicate(timeout=WAIT_S)
    assert running.returncode == 1
    (record,) = [json.loads(line) for line in log.splitlines()]
    assert (record["severity"], record["message"]) == ("CRITICAL", "the dispatcher ends")
    assert record["thread"].startswith("message-")
    assert "JSONDecodeError" in record["exception"]


def test_a_dispatcher_ends_when_it_is_told_to_even_if_its_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        deliveries = Deliveries(disk / "deliveries.db")
        deliveries.add([Delivery("message", b"", MISS)])
        with full(disk), process(disk / "deliveries.db") as running:
            assert running.stderr is not None
            assert b"deliveries are unavailable" in running.stderr.readline()
            running.terminate()
            assert running.wait(WAIT_S) == 0
        (lease,) = deliveries.lease(1, time.time())
        assert lease.attempt == 1
        deliveries.close()
