from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from shared.config.datasets import Dataset
from shared.deadline import within
from shared.errors import StorageUnavailableError
from shared.lookup.misses import MissCounts, MissPublisher, Publication
from shared.lookup.pending import PendingStates
from shared.messages.messages import MissMessage, decode
from shared.store.protocol import PENDING, UNKNOWN, NodeState
from shared.store.sqlite import SQLiteStore

DATASET = Dataset("rig_graph", "graphene://https://server/segmentation/table/rig_graph", "cache_v1")
OTHER = Dataset("other", "graphene://https://server/segmentation/table/other", "cache_v2")
IDS_PER_MESSAGE = 10
THREADS = 4
SINCE_S = round(time.time()) + 0.5


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Bus:
    """Keeps what it is given; fails while it is told to, and takes nothing while its gate is closed.

    Attributes:
      messages: what it took.
      tried: ids of what it was given.
      error: what it fails with.
      gate: messages wait for it.
      always_taken: ids whose message does not wait.
    """

    def __init__(self) -> None:
        self.messages: list[MissMessage] = []
        self.tried: list[list[int]] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.always_taken: set[int] = set()
        self._lock = threading.Lock()

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        message = decode(attributes, data)
        assert isinstance(message, MissMessage)
        ids = message.l2_ids.tolist()
        with self._lock:
            self.tried.append(ids)
        if not self.always_taken & set(ids):
            assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        with self._lock:
            self.messages.append(message)

    def close(self) -> None:
        pass

    @property
    def ids(self) -> list[int]:
        return sorted(int(i) for message in self.messages for i in message.l2_ids)


def array(*ids: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(sorted(ids), dtype=np.uint64)


@pytest.fixture
def bus() -> Iterator[Bus]:
    bus = Bus()
    yield bus
    bus.gate.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Misses:
    """A publisher, as look-ups use it."""

    def __init__(self, bus: Bus, clock: Clock, wait_s: float = 30.0, per_minute: int = 0) -> None:
        self.publisher = MissPublisher(bus, 60.0, 8 * IDS_PER_MESSAGE, wait_s, per_minute, clock)

    def begin(self, *ids: int) -> Publication:
        """Has ids published, and does not wait."""
        return self.publisher.start(DATASET, array(*ids), "somebody")

    def send(self, *ids: int, dataset: Dataset = DATASET, caller: str = "somebody") -> tuple[int, int, int]:
        """How many ids were published, were not, and were withheld."""
        counts: MissCounts = self.publisher.start(dataset, array(*ids), caller).wait()
        return counts.published, counts.unpublished, counts.withheld


@pytest.fixture
def misses(bus: Bus, clock: Clock) -> Iterator[Misses]:
    misses = Misses(bus, clock)
    yield misses
    misses.publisher.close()


@pytest.fixture
def hasty(bus: Bus, clock: Clock) -> Iterator[Misses]:
    """Hardly waits for the bus."""
    misses = Misses(bus, clock, wait_s=0.05)
    yield misses
    bus.gate.set()
    misses.publisher.close()


def until(is_so: Callable[[], bool]) -> None:
    """Returns once it is so, and fails if that takes a minute."""
    end_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.001)


def records(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Messages of the records there were since the last call."""
    found = [record.message for record in caplog.records]
    caplog.clear()
    return found


class TestPublishing:
    def test_ids_go_out_in_messages_of_limited_size(self, misses: Misses, bus: Bus) -> None:
        assert misses.send(*range(25)) == (25, 0, 0)
        assert bus.ids == list(range(25))
        assert sorted(len(message.l2_ids) for message in bus.messages) == [5, 10, 10]
        assert {(m.graph_id, m.l2cache_id) for m in bus.messages} == {("rig_graph", "cache_v1")}

    def test_without_misses_nothing_is_sent(self, misses: Misses, bus: Bus) -> None:
        assert misses.send() == (0, 0, 0)
        assert bus.tried == []

    def test_an_id_is_sent_once_within_the_pause(self, misses: Misses, bus: Bus, clock: Clock) -> None:
        assert misses.send(1, 2) == (2, 0, 0)
        clock.now_s += 59
        assert misses.send(1, 2, 3) == (1, 0, 0)
        clock.now_s += 1
        assert misses.send(1, 2, 3) == (2, 0, 0)
        assert bus.ids == [1, 1, 2, 2, 3]

    def test_tables_do_not_share_their_pauses(self, misses: Misses, bus: Bus) -> None:
        misses.send(1)
        assert misses.send(1, dataset=OTHER) == (1, 0, 0)
        assert [m.l2cache_id for m in bus.messages] == ["cache_v1", "cache_v2"]

    @pytest.mark.parametrize("error", [StorageUnavailableError("gone"), RuntimeError("unforeseen")])
    def test_what_the_bus_did_not_take_is_counted_logged_and_sent_again(
        self, misses: Misses, bus: Bus, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus.error = error
        with caplog.at_level(logging.WARNING, logger="l2cache"):
            assert misses.send(1, 2) == (0, 2, 0)
        assert [record.message for record in caplog.records] == ["misses were not published"]
        assert bool(caplog.records[0].exc_info) is isinstance(error, RuntimeError)
        bus.error = None
        assert misses.send(1, 2) == (2, 0, 0)
        assert bus.ids == [1, 2]


class TestWaiting:
    def test_a_bus_that_takes_nothing_costs_no_more_than_the_wait(self, hasty: Misses, bus: Bus) -> None:
        bus.gate.clear()
        publication = hasty.begin(*range(200))
        until(lambda: len(bus.tried) == THREADS)
        assert publication.wait() == MissCounts(unpublished=200)
        bus.gate.set()
        hasty.publisher.close()
        assert len(bus.tried) == THREADS
        assert bus.ids == sorted(i for ids in bus.tried for i in ids)

    def test_what_was_not_begun_is_due_again_and_what_is_under_way_is_not(self, misses: Misses, bus: Bus) -> None:
        bus.gate.clear()
        publication = misses.begin(*range(200))
        until(lambda: len(bus.tried) == THREADS)
        with within(0.0):
            assert publication.wait() == MissCounts(unpublished=200)
        bus.gate.set()
        assert misses.send(*range(200)) == (200 - THREADS * IDS_PER_MESSAGE, 0, 0)
        misses.publisher.close()
        assert bus.ids == list(range(200))

    def test_what_fails_after_the_answer_is_due_again(self, hasty: Misses, bus: Bus, clock: Clock) -> None:
        bus.gate.clear()
        assert hasty.send(1, 2) == (0, 2, 0)
        assert hasty.send(1, 2) == (0, 0, 0)
        bus.error = StorageUnavailableError("gone")
        bus.gate.set()
        while not hasty.publisher.start(DATASET, array(1, 2), "somebody").wait().unpublished:
            assert len(bus.tried) == 1
        bus.error = None
        assert hasty.send(1, 2) == (2, 0, 0)

    def test_a_bus_that_takes_some_in_time_is_slow_and_not_away(self, hasty: Misses, bus: Bus) -> None:
        bus.gate.clear()
        bus.always_taken = {5}
        publication = hasty.begin(*range(200))
        until(lambda: publication.taken_ids.size == IDS_PER_MESSAGE)
        assert publication.wait() == MissCounts(published=IDS_PER_MESSAGE, unpublished=200 - IDS_PER_MESSAGE)
        bus.gate.set()
        late = hasty.begin(300)
        until(lambda: late.taken_ids.tolist() == [300])


class TestCircuit:
    @pytest.mark.parametrize("error", [StorageUnavailableError("gone"), RuntimeError("unforeseen")])
    def test_after_three_failures_the_bus_is_left_alone(
        self, misses: Misses, bus: Bus, clock: Clock, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus.error = error
        with caplog.at_level(logging.INFO, logger="l2cache"):
            for number in range(3):
                assert misses.send(number) == (0, 1, 0)
            assert records(caplog) == [*["misses were not published"] * 2, "publishing misses has stopped"]
            for number in range(100):
                assert misses.send(number, number + 1) == (0, 2, 0)
            clock.now_s += 4.9
            assert misses.send(0) == (0, 1, 0)
            assert len(bus.tried) == 3
            clock.now_s += 0.1
            assert misses.send(0) == (0, 1, 0)
            assert len(bus.tried) == 4
            assert records(caplog) == []

    def test_messages_that_are_not_through_in_time_are_failures(
        self, hasty: Misses, bus: Bus, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus.gate.clear()
        with caplog.at_level(logging.INFO, logger="l2cache"):
            for number in range(10):
                assert hasty.send(number) == (0, 1, 0)
        assert len(bus.tried) == 3
        assert records(caplog) == ["publishing misses has stopped"]

    def test_of_many_messages_no_more_are_tried_than_show_that_it_is_away(self, misses: Misses, bus: Bus) -> None:
        bus.error = StorageUnavailableError("gone")
        assert misses.send(*range(1000)) == (0, 1000, 0)
        assert len(bus.tried) <= 2 + THREADS

    def test_the_pause_doubles_up_to_a_minute(self, misses: Misses, bus: Bus, clock: Clock) -> None:
        bus.error = StorageUnavailableError("gone")
        for number in range(3):
            misses.send(number)
        start_s, tried_at_s = clock.now_s, []
        while len(tried_at_s) < 6:
            clock.now_s += 1
            tried = len(bus.tried)
            misses.send(*range(50))
            assert len(bus.tried) <= tried + 1
            if len(bus.tried) > tried:
                tried_at_s.append(clock.now_s - start_s)
        assert np.diff([0, *tried_at_s]).tolist() == [5, 10, 20, 40, 60, 60]

    def test_one_message_shows_that_the_bus_is_back(
        self, misses: Misses, bus: Bus, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus.error = StorageUnavailableError("gone")
        for number in range(3):
            misses.send(number)
        bus.error = None
        clock.now_s += 5
        records(caplog)
        with caplog.at_level(logging.INFO, logger="l2cache"):
            assert misses.send(*range(45)) == (IDS_PER_MESSAGE, 35, 0)
            assert records(caplog) == ["misses are published again"]
            assert misses.send(*range(45)) == (35, 0, 0)
        assert bus.ids == list(range(45))

    def test_a_trial_that_waits_is_the_only_one(self, hasty: Misses, bus: Bus, clock: Clock) -> None:
        bus.error = StorageUnavailableError("gone")
        for number in range(3):
            hasty.send(number)
        bus.gate.clear()
        clock.now_s += 5
        trial = hasty.publisher.start(DATASET, array(7), "somebody")
        assert hasty.send(8) == (0, 1, 0)
        assert trial.wait().unpublished == 1
        assert len(bus.tried) == 4

    def test_a_success_between_failures_keeps_it_closed(self, misses: Misses, bus: Bus) -> None:
        for round_ in range(5):
            bus.error = StorageUnavailableError("gone")
            misses.send(10 * round_)
            misses.send(10 * round_ + 1)
            bus.error = None
            assert misses.send(10 * round_ + 2) == (1, 0, 0)


class TestShare:
    @pytest.fixture
    def shared(self, bus: Bus, clock: Clock) -> Iterator[Misses]:
        misses = Misses(bus, clock, per_minute=15)
        yield misses
        misses.publisher.close()

    def test_ids_beyond_a_callers_share_are_withheld_until_it_has_more(
        self, shared: Misses, bus: Bus, clock: Clock
    ) -> None:
        assert shared.send(*range(25)) == (15, 0, 10)
        assert shared.send(*range(25)) == (0, 0, 10)
        clock.now_s += 20
        assert shared.send(*range(25)) == (5, 0, 5)
        clock.now_s += 20
        assert shared.send(*range(25), caller="somebody") == (5, 0, 0)
        assert bus.ids == list(range(25))

    def test_callers_do_not_take_from_each_other(self, shared: Misses, bus: Bus) -> None:
        assert shared.send(*range(25), caller="a") == (15, 0, 10)
        assert shared.send(*range(25), caller="b") == (10, 0, 0)
        assert bus.ids == list(range(25))

    def test_what_was_published_a_short_while_ago_costs_no_share(self, shared: Misses) -> None:
        assert shared.send(*range(15), caller="a") == (15, 0, 0)
        for _ in range(5):
            assert shared.send(*range(15), caller="b") == (0, 0, 0)
        assert shared.send(*range(30), caller="b") == (15, 0, 0)

    def test_nothing_is_taken_from_the_share_while_the_bus_is_left_alone(self, shared: Misses, bus: Bus) -> None:
        bus.error = StorageUnavailableError("gone")
        for number in range(3):
            shared.send(number, caller="a")
        assert shared.send(*range(50), caller="b") == (0, 50, 0)
        assert shared.publisher.start(DATASET, array(), "b").wait() == MissCounts()


class TestWaitedFor:
    @pytest.fixture
    def urgent(self) -> Bus:
        return Bus()

    @pytest.fixture
    def publisher(self, bus: Bus, urgent: Bus, clock: Clock) -> Iterator[MissPublisher]:
        publisher = MissPublisher(bus, 60.0, 8 * IDS_PER_MESSAGE, 30.0, 100, clock, waited=urgent, waited_per_minute=15)
        yield publisher
        publisher.close()

    def test_what_is_waited_for_has_a_way_of_its_own_within_a_share_of_its_own(
        self, publisher: MissPublisher, bus: Bus, urgent: Bus, clock: Clock
    ) -> None:
        counts = publisher.start(DATASET, array(*range(25)), "a", is_waited=True).wait()
        assert counts == MissCounts(published=25)
        assert (urgent.ids, bus.ids) == ([*range(15)], [*range(15, 25)])
        publisher.start(DATASET, array(30), "b").wait()
        assert publisher.start(DATASET, array(40), "b", is_waited=True).wait() == MissCounts(published=1)
        assert (urgent.ids, bus.ids) == ([*range(15), 40], [*range(15, 25), 30])

    def test_where_that_way_is_closed_it_goes_with_the_others(
        self, publisher: MissPublisher, bus: Bus, urgent: Bus
    ) -> None:
        urgent.error = StorageUnavailableError("gone")
        for number in range(3):
            assert publisher.start(DATASET, array(number), "a", is_waited=True).wait() == MissCounts(unpublished=1)
        assert publisher.start(DATASET, array(9), "a", is_waited=True).wait() == MissCounts(published=1)
        assert bus.ids == [9]


class TestPending:
    """What other instances can read of what was published."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SQLiteStore]:
        store = SQLiteStore(tmp_path / "cache.db")
        yield store
        store.close()

    def publisher(self, bus: Bus, store: SQLiteStore, wait_s: float = 30.0) -> MissPublisher:
        return MissPublisher(bus, 60.0, 8 * IDS_PER_MESSAGE, wait_s, pending=PendingStates(store, lambda: SINCE_S))

    def test_what_the_bus_took_is_written_down_with_the_time_before(self, bus: Bus, store: SQLiteStore) -> None:
        publisher = self.publisher(bus, store)
        publication = publisher.start(DATASET, array(*range(25)), "a")
        assert publication.wait().published == 25
        pending = NodeState(PENDING, SINCE_S)
        assert store.read_states("cache_v1", array(*range(30))) == dict.fromkeys(range(25), pending)
        assert publication.taken_ids.tolist() == [*range(25)]
        publisher.close()

    def test_what_the_bus_did_not_take_is_not(self, bus: Bus, store: SQLiteStore) -> None:
        bus.error = StorageUnavailableError("gone")
        publisher = self.publisher(bus, store)
        publication = publisher.start(DATASET, array(1), "a")
        assert publication.wait().unpublished == 1
        publisher.close()
        assert store.read_states("cache_v1", array(1)) == {}
        assert publication.taken_ids.tolist() == []

    def test_what_is_said_of_an_id_meanwhile_is_newer(self, bus: Bus, store: SQLiteStore) -> None:
        verdict = NodeState(UNKNOWN, SINCE_S + 0.1)
        store.write_states("cache_v1", {1: verdict})
        publisher = self.publisher(bus, store)
        publisher.start(DATASET, array(1), "a").wait()
        publisher.close()
        assert store.read_states("cache_v1", array(1)) == {1: verdict}

    def test_states_that_cannot_be_written_keep_nothing_from_being_published(
        self, bus: Bus, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object) -> None:
            raise StorageUnavailableError("away")

        monkeypatch.setattr(store, "write_states", away)
        publisher = self.publisher(bus, store)
        assert publisher.start(DATASET, array(1), "a").wait() == MissCounts(published=1)
        publisher.close()
