from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.bus.dead_letters import DeadLetterBox, original_attributes
from shared.compute.messages import MessageHandler, Verdict
from shared.compute.outcome import NodesOutcome
from shared.errors import (
    ChunkFaultError,
    GraphResponseError,
    GraphUnavailableError,
    StorageUnavailableError,
    VolumeUnavailableError,
)
from shared.messages.cloud_events import PushedMessage
from shared.types import Triple, UInt64Array
from tests.support.graph.small import GRAPH_ID, TABLE_ID, SmallCache, failing, node_id

A, B = (0, 0, 0), (1, 0, 0)


class Rig:
    def __init__(self, cache: SmallCache, caplog: pytest.LogCaptureFixture) -> None:
        self.cache, self._caplog = cache, caplog
        self.handler = MessageHandler(cache.service)
        self.attempt: int | None = 1

    def handle(self, data: bytes, **attributes: str) -> Verdict:
        message = PushedMessage("15", {"table_id": GRAPH_ID, **attributes}, data, self.attempt)
        return self.handler.handle(message, trace="abc")

    def miss(self, *l2_ids: int, table: str = TABLE_ID) -> Verdict:
        return self.handle(np.array(l2_ids, dtype="<u8").tobytes(), l2_cache_id=table)

    def edit(self, *l2_ids: int) -> Verdict:
        edit = {"operation_id": 1, "new_lvl2_ids": list(l2_ids), "new_root_ids": [], "old_root_ids": []}
        return self.handle(pickle.dumps(edit), user_id="0", remesh="true", remesh_priority="true")

    def logged(self, level: int) -> list[dict[str, Any]]:
        """Fields of the records of that level or above, except those about computed chunks."""
        return [
            {"message": record.getMessage(), **vars(record).get("fields", {})}
            for record in self._caplog.records
            if record.levelno >= level and record.getMessage() != "chunk computed"
        ]


@pytest.fixture
def rig(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Rig]:
    caplog.set_level(logging.DEBUG)
    cache = SmallCache(tmp_path)
    yield Rig(cache, caplog)
    cache.store.close()


def test_a_miss_and_an_edit_are_computed(rig: Rig) -> None:
    missed, made = rig.cache.graph.add(A, 1, {1}), rig.cache.graph.add(B, 2, {2})
    assert rig.miss(missed) is Verdict.DONE
    assert rig.edit(made) is Verdict.DONE
    assert set(rig.cache.rows()) == {missed, made}
    assert rig.handler.counts() == {"done": 2, "not ours": 0, "failed": 0, "retry": 0, "given up": 0}
    first, second = rig.logged(logging.INFO)
    assert (first["kind"], second["kind"]) == ("miss", "edit")
    assert (first["message_id"], first["dataset"], first["trace"], first["nodes"]) == ("15", GRAPH_ID, "abc", 1)
    assert first["message_ms"] > 0


def test_the_same_message_twice_leaves_the_same_rows(rig: Rig) -> None:
    node = rig.cache.graph.add(A, 1, {1})
    assert rig.edit(node) is Verdict.DONE
    rows = rig.cache.rows()
    assert rig.edit(node) is Verdict.DONE
    assert rig.cache.rows() == rows


def test_a_miss_without_ids_is_acknowledged(rig: Rig) -> None:
    assert rig.miss() is Verdict.DONE
    assert rig.cache.volume.reads == []


@pytest.mark.parametrize("data", [b"", b"nonsense", pickle.dumps(print)])
def test_messages_of_other_datasets_are_acknowledged_without_looking_into_them(rig: Rig, data: bytes) -> None:
    assert rig.handle(data, table_id="elsewhere") is Verdict.NOT_OURS
    assert rig.logged(logging.INFO) == []


def test_a_miss_for_another_cache_of_the_same_graph_is_left_to_it(rig: Rig) -> None:
    node = rig.cache.graph.add(A, 1, {1})
    assert rig.miss(node, table="l2cache_small_v2") is Verdict.NOT_OURS
    assert rig.cache.rows() == {}
    assert rig.logged(logging.INFO) == []


@pytest.mark.parametrize(
    ("data", "attributes"),
    [
        (b"12345", {"l2_cache_id": TABLE_ID}),
        (b"no pickle", {}),
        (pickle.dumps({"new_lvl2_ids": print}), {}),
        (json.dumps({"operation_id": 1}).encode(), {}),
        (b"", {"table_id": ""}),
    ],
)
def test_what_cannot_be_decoded_is_acknowledged_counted_and_logged_with_its_reason(
    rig: Rig, data: bytes, attributes: dict[str, str]
) -> None:
    assert rig.handle(data, **attributes) is Verdict.FAILED
    assert rig.handler.counts()["failed"] == 1
    (record,) = rig.logged(logging.ERROR)
    assert record["error"] == "BadMessageError"
    assert record["reason"]


def test_ids_that_cannot_exist_are_reported_and_the_others_computed(rig: Rig) -> None:
    node, outside = rig.cache.graph.add(A, 1, {1}), node_id(2, (9, 9, 9), 1)
    assert rig.miss(node, outside) is Verdict.DONE
    assert set(rig.cache.rows()) == {node}
    assert rig.logged(logging.ERROR) == []
    (record,) = rig.logged(logging.WARNING)
    assert (record["refused"], record["unknown"]) == (1, 0)
    assert record["refused_ids"] == {outside: "its chunk lies outside the volume"}


def test_a_message_of_nothing_but_impossible_ids_can_never_succeed(rig: Rig) -> None:
    assert rig.miss(node_id(1, A, 1), node_id(2, (9, 9, 9), 1)) is Verdict.FAILED
    assert rig.logged(logging.ERROR)


def test_ids_that_the_graph_does_not_know_are_reported_and_not_retried(rig: Rig) -> None:
    unknown = node_id(2, A, 7)
    assert rig.miss(unknown) is Verdict.DONE
    assert rig.logged(logging.WARNING) == rig.logged(logging.ERROR) == []
    (record,) = [record for record in rig.logged(logging.INFO) if "unknown_ids" in record]
    assert (record["refused"], record["unknown"]) == (0, 1)
    assert record["unknown_ids"] == [unknown]


@pytest.mark.parametrize("part", ["graph", "volume"])
def test_what_may_pass_is_retried_and_then_done(rig: Rig, part: str) -> None:
    made = [rig.cache.graph.add(coordinate, 1, {1}) for coordinate in (A, B)]
    error = GraphUnavailableError("away") if part == "graph" else VolumeUnavailableError("away")
    getattr(rig.cache, part).fail = failing(error, A)
    assert rig.edit(*made) is Verdict.RETRY
    assert set(rig.cache.rows()) == {made[1]}
    (record,) = rig.logged(logging.WARNING)
    assert (record["chunks_failed"], record["failed_chunks"]) == (1, {str(A): "away"})
    getattr(rig.cache, part).fail = lambda _: None
    assert rig.edit(*made) is Verdict.DONE
    assert set(rig.cache.rows()) == set(made)
    assert rig.handler.counts() == {"done": 1, "not ours": 0, "failed": 0, "retry": 1, "given up": 0}


def test_a_failure_that_lasts_is_acknowledged_after_the_rest_is_done(rig: Rig) -> None:
    made = [rig.cache.graph.add(coordinate, 1, {1}) for coordinate in (A, B)]
    rig.cache.graph.fail = failing(GraphResponseError("no such table"), A)
    assert rig.edit(*made) is Verdict.FAILED
    assert set(rig.cache.rows()) == {made[1]}


def test_as_long_as_any_chunk_may_succeed_the_message_is_retried(rig: Rig) -> None:
    made = [rig.cache.graph.add(coordinate, 1, {1}) for coordinate in (A, B)]
    rig.cache.graph.fail = failing(GraphResponseError("lasting"), A)
    rig.cache.volume.fail = failing(VolumeUnavailableError("passing"), B)
    assert rig.edit(*made) is Verdict.RETRY


def test_without_its_table_a_datasets_message_can_never_succeed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(SmallCache(tmp_path, table=False), caplog)
    assert rig.edit(rig.cache.graph.add(A, 1, {1})) is Verdict.FAILED
    (record,) = rig.logged(logging.ERROR)
    assert (record["dataset"], record["error"]) == (GRAPH_ID, "TableNotFoundError")
    assert TABLE_ID in record["reason"]
    rig.cache.store.close()


def test_a_fault_of_our_own_is_neither_acknowledged_nor_hidden(rig: Rig) -> None:
    def fault(_: object) -> None:
        raise ZeroDivisionError

    rig.cache.graph.fail = fault
    with pytest.raises(ZeroDivisionError):
        rig.edit(rig.cache.graph.add(A, 1, {1}))


class KeptLetters:
    """A bus that keeps what is published, or is away."""

    def __init__(self) -> None:
        self.letters: list[tuple[dict[str, str], bytes]] = []
        self.away = False

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        if self.away:
            raise StorageUnavailableError("the bus is not available")
        self.letters.append((dict(attributes), data))

    def close(self) -> None:
        pass


def test_at_its_last_delivery_a_message_becomes_a_dead_letter_with_its_reason(rig: Rig) -> None:
    letters = KeptLetters()
    rig.handler = MessageHandler(rig.cache.service, DeadLetterBox(letters, attempts=3))
    node = rig.cache.graph.add(A, 1, {1})
    rig.cache.volume.fail = failing(VolumeUnavailableError("the volume is away"))
    verdicts = []
    for rig.attempt in (1, 2, 3):
        verdicts.append(rig.miss(node))
    assert verdicts == [Verdict.RETRY, Verdict.RETRY, Verdict.GIVEN_UP]
    ((attributes, data),) = letters.letters
    assert data == np.array([node], dtype="<u8").tobytes()
    assert attributes["dead_letter_reason"] == "the volume is away"
    assert (attributes["dead_letter_attempts"], attributes["dead_letter_message_id"]) == ("3", "15")
    assert original_attributes(attributes) == {"table_id": GRAPH_ID, "l2_cache_id": TABLE_ID}


def test_while_the_dead_letters_are_away_a_message_is_left_to_the_bus(rig: Rig) -> None:
    letters = KeptLetters()
    letters.away = True
    rig.handler = MessageHandler(rig.cache.service, DeadLetterBox(letters, attempts=1))
    rig.cache.volume.fail = failing(VolumeUnavailableError("the volume is away"))
    assert rig.miss(rig.cache.graph.add(A, 1, {1})) is Verdict.RETRY
    assert "dead letter was not published" in [record["message"] for record in rig.logged(logging.ERROR)]


def test_a_message_that_succeeds_at_its_last_delivery_is_no_dead_letter(rig: Rig) -> None:
    letters = KeptLetters()
    rig.handler, rig.attempt = MessageHandler(rig.cache.service, DeadLetterBox(letters, attempts=2)), 2
    assert rig.miss(rig.cache.graph.add(A, 1, {1})) is Verdict.DONE
    assert letters.letters == []


def test_a_message_can_be_given_up_before_its_last_delivery() -> None:
    letters = KeptLetters()
    box = DeadLetterBox(letters, attempts=30)
    message = PushedMessage("15", {"table_id": GRAPH_ID}, b"data", attempt=2)
    assert not box.take(message, "the volume is away")
    assert box.give_up(message, "the process died")
    ((attributes, data),) = letters.letters
    assert (attributes["dead_letter_reason"], attributes["dead_letter_attempts"]) == ("the process died", "2")
    assert (original_attributes(attributes), data) == ({"table_id": GRAPH_ID}, b"data")
    letters.away = True
    assert not box.give_up(message, "the process died")


def test_a_long_reason_is_cut_to_what_an_attribute_holds(rig: Rig) -> None:
    letters = KeptLetters()
    box = DeadLetterBox(letters, attempts=1)
    assert box.take(PushedMessage("1", {}, b"", 1), "\N{GREEK SMALL LETTER ALPHA}" * 2000)
    assert 1000 < len(letters.letters[0][0]["dead_letter_reason"].encode()) <= 1024


class Died(BaseException):
    """The process is gone: nothing of ours may catch this."""


class Isolated:
    """In the place of a process of its own: what dies there is an error here."""

    def __init__(self, cache: SmallCache) -> None:
        self._cache = cache
        self.asked: list[int] = []

    @contextmanager
    def __call__(self) -> Iterator[Isolated]:
        yield self

    def compute_nodes(self, graph_id: str, l2_ids: UInt64Array, is_edit: bool) -> NodesOutcome:
        self.asked.extend(l2_ids.tolist())
        try:
            return self._cache.service.compute_nodes(graph_id, l2_ids, is_edit)
        except Died:
            raise ChunkFaultError("the process died (SIGSEGV) while reading the chunk") from None


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted by the bus", "not counted"])
def test_a_message_whose_chunk_kills_its_process_becomes_a_dead_letter_and_its_other_chunks_have_rows(
    rig: Rig, is_counted: bool
) -> None:
    letters, isolated = KeptLetters(), Isolated(rig.cache)
    rig.handler = MessageHandler(rig.cache.service, DeadLetterBox(letters, attempts=30), isolated)
    nodes = [rig.cache.graph.add(chunk, 1, {1, 2}) for chunk in (A, B, (2, 0, 1))]

    def die(chunk: Triple) -> None:
        if chunk == B:
            raise Died

    rig.cache.volume.fail = die
    for attempt in (1, 2):
        rig.attempt = attempt if is_counted else None
        with pytest.raises(Died):
            rig.miss(*nodes)
    assert not isolated.asked
    rig.attempt = 3 if is_counted else None
    assert rig.miss(*nodes) is Verdict.GIVEN_UP
    assert sorted(rig.cache.rows()) == sorted([nodes[0], nodes[2]])
    ((attributes, _),) = letters.letters
    assert attributes["dead_letter_reason"] == "the process died (SIGSEGV) while reading the chunk"
    assert attributes["dead_letter_attempts"] == "3"
    assert not rig.cache.store.read_marks(TABLE_ID, "delivery/")


def test_a_message_that_failed_with_an_answer_needs_no_process_of_its_own(rig: Rig) -> None:
    isolated = Isolated(rig.cache)
    rig.handler = MessageHandler(rig.cache.service, isolation=isolated)
    node = rig.cache.graph.add(A, 1, {1, 2})
    rig.cache.volume.fail = failing(VolumeUnavailableError("the volume is away"))
    for rig.attempt in (None, None, None, None, None):
        assert rig.miss(node) is Verdict.RETRY
    rig.cache.volume.fail = lambda _: None
    assert rig.miss(node) is Verdict.DONE
    assert not isolated.asked
    assert not rig.cache.store.read_marks(TABLE_ID, "delivery/")


def test_deliveries_that_never_arrived_need_no_process_of_their_own(rig: Rig) -> None:
    isolated = Isolated(rig.cache)
    rig.handler = MessageHandler(rig.cache.service, isolation=isolated)
    node = rig.cache.graph.add(A, 1, {1, 2})
    rig.attempt = 9  # the function was away eight times
    assert rig.miss(node) is Verdict.DONE
    assert not isolated.asked


def test_memory_that_runs_out_is_no_lost_message_and_ends_in_a_process_of_its_own(rig: Rig) -> None:
    isolated = Isolated(rig.cache)
    rig.handler = MessageHandler(rig.cache.service, isolation=isolated)
    node = rig.cache.graph.add(A, 1, {1, 2})

    def burst(_: Triple) -> None:
        raise MemoryError

    rig.cache.volume.fail = burst
    for rig.attempt in (1, 2):
        assert rig.miss(node) is Verdict.RETRY
    rig.cache.volume.fail = lambda _: None
    rig.attempt = 3
    assert rig.miss(node) is Verdict.DONE
    assert isolated.asked == [node]
