from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.datasets import Dataset
from shared.errors import StorageUnavailableError
from shared.lookup.misses import MissLedger, MissPublisher
from shared.messages import MissMessage, decode

DATASET = Dataset("rig_graph", "graphene://https://server/segmentation/table/rig_graph", "cache_v1")
OTHER = Dataset("other", "graphene://https://server/segmentation/table/other", "cache_v2")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class RecordingPublisher:
    """Keeps what it is given; fails while it is told to."""

    def __init__(self) -> None:
        self.messages: list[MissMessage] = []
        self.error: Exception | None = None
        self._lock = threading.Lock()

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        if self.error is not None:
            raise self.error
        message = decode(attributes, data)
        assert isinstance(message, MissMessage)
        with self._lock:
            self.messages.append(message)

    def close(self) -> None:
        pass

    @property
    def ids(self) -> list[int]:
        return sorted(int(i) for message in self.messages for i in message.l2_ids)


def array(*ids: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(sorted(ids), dtype=np.uint64)


class TestLedger:
    @given(
        st.lists(st.tuples(st.floats(0, 40), st.sets(st.integers(0, 30)), st.booleans()), max_size=12),
    )
    def test_an_id_is_due_again_when_its_pause_is_over_or_its_claim_was_taken_back(
        self, steps: list[tuple[float, set[int], bool]]
    ) -> None:
        clock = Clock()
        ledger = MissLedger(60.0, clock=clock)
        until_s: dict[int, float] = {}
        for passed_s, ids, taken_back in steps:
            clock.now_s += passed_s
            due = {i for i in ids if until_s.get(i, 0.0) <= clock.now_s}
            assert ledger.claim(array(*ids)).tolist() == sorted(due)
            until_s.update(dict.fromkeys(due, clock.now_s + 60.0))
            if taken_back:
                ledger.release(array(*due))
                for i in due:
                    del until_s[i]
        assert len(ledger) == sum(clock.now_s < end for end in until_s.values())

    def test_ids_of_the_whole_range_are_kept_apart(self) -> None:
        ledger = MissLedger(60.0)
        assert ledger.claim(array(0, 2**63, 2**64 - 2)).tolist() == [0, 2**63, 2**64 - 2]
        assert ledger.claim(array(1, 2**63, 2**64 - 1)).tolist() == [1, 2**64 - 1]

    def test_no_more_than_its_capacity_is_remembered_and_the_oldest_go_first(self) -> None:
        clock = Clock()
        ledger = MissLedger(60.0, capacity=4, clock=clock)
        for ids in (array(1, 2), array(3, 4), array(5, 6)):
            clock.now_s += 1
            ledger.claim(ids)
        assert len(ledger) == 4
        assert ledger.claim(array(3, 4, 5, 6)).tolist() == []
        assert ledger.claim(array(1, 2)).tolist() == [1, 2]

    def test_more_ids_at_once_than_its_capacity_are_all_due(self) -> None:
        ledger = MissLedger(60.0, capacity=4)
        assert len(ledger.claim(array(*range(100)))) == 100
        assert len(ledger) == 4

    def test_without_a_pause_every_id_is_always_due(self) -> None:
        ledger = MissLedger(0.0)
        assert ledger.claim(array(1)).tolist() == ledger.claim(array(1)).tolist() == [1]

    def test_each_id_is_claimed_by_one_of_many_threads(self) -> None:
        ledger = MissLedger(60.0)
        claimed: list[int] = []
        barrier = threading.Barrier(8)

        def claim() -> None:
            barrier.wait()
            for start in range(0, 400, 10):
                claimed.extend(ledger.claim(array(*range(start, start + 40))).tolist())

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(claimed) == list(range(430))


class TestPublisher:
    @pytest.fixture
    def bus(self) -> RecordingPublisher:
        return RecordingPublisher()

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def misses(self, bus: RecordingPublisher, clock: Clock) -> Iterator[MissPublisher]:
        publisher = MissPublisher(bus, pause_s=60.0, message_bytes=80, clock=clock)
        yield publisher
        publisher.close()

    def test_ids_go_out_in_messages_of_limited_size(self, misses: MissPublisher, bus: RecordingPublisher) -> None:
        assert misses.start(DATASET, array(*range(25))).wait() == (25, 0)
        assert bus.ids == list(range(25))
        assert sorted(len(message.l2_ids) for message in bus.messages) == [5, 10, 10]
        assert {(m.graph_id, m.l2cache_id) for m in bus.messages} == {("rig_graph", "cache_v1")}

    def test_without_misses_nothing_is_sent(self, misses: MissPublisher, bus: RecordingPublisher) -> None:
        assert misses.start(DATASET, array()).wait() == (0, 0)
        assert bus.messages == []

    def test_an_id_is_sent_once_within_the_pause(
        self, misses: MissPublisher, bus: RecordingPublisher, clock: Clock
    ) -> None:
        assert misses.start(DATASET, array(1, 2)).wait() == (2, 0)
        clock.now_s += 59
        assert misses.start(DATASET, array(1, 2, 3)).wait() == (1, 0)
        clock.now_s += 1
        assert misses.start(DATASET, array(1, 2, 3)).wait() == (2, 0)
        assert bus.ids == [1, 1, 2, 2, 3]

    def test_tables_do_not_share_their_pauses(self, misses: MissPublisher, bus: RecordingPublisher) -> None:
        misses.start(DATASET, array(1)).wait()
        assert misses.start(OTHER, array(1)).wait() == (1, 0)
        assert [m.l2cache_id for m in bus.messages] == ["cache_v1", "cache_v2"]

    @pytest.mark.parametrize("error", [StorageUnavailableError("gone"), RuntimeError("unforeseen")])
    def test_what_the_bus_did_not_take_is_counted_logged_and_sent_again(
        self, misses: MissPublisher, bus: RecordingPublisher, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus.error = error
        with caplog.at_level(logging.ERROR, logger="l2cache"):
            assert misses.start(DATASET, array(1, 2)).wait() == (0, 2)
        assert "misses were not published" in caplog.text
        bus.error = None
        assert misses.start(DATASET, array(1, 2)).wait() == (2, 0)
        assert bus.ids == [1, 2]
