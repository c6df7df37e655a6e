"""What others are told of ids while messages are handled, and after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from shared.bus.dead_letters import DeadLetterBox
from shared.compute.messages import MessageHandler, Verdict
from shared.compute.states import reason_for_clients
from shared.errors import (
    ChunkFaultError,
    ConfigurationError,
    GraphResponseError,
    L2CacheError,
    StorageUnavailableError,
    VolumeUnavailableError,
)
from shared.messages.cloud_events import PushedMessage
from shared.store.protocol import FAILED, PENDING, UNKNOWN, NodeState
from shared.types import Triple
from tests.support.graph.small import GRAPH_ID, TABLE_ID, SmallCache, failing, node_id

A, B = (0, 0, 0), (1, 0, 0)
AWAY = VolumeUnavailableError("/mnt/volume on host-7 does not answer")


class Letters:
    """Takes dead letters and forgets them."""

    def publish(self, attributes: object, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SmallCache]:
    moments = count(time.time())  # two deliveries may take less than the millisecond that is kept
    cache = SmallCache(tmp_path, now_s=lambda: next(moments))
    yield cache
    cache.store.close()


def miss(cache: SmallCache, *l2_ids: int, attempt: int = 1, attempts: int = 2) -> Verdict:
    handler = MessageHandler(cache.service, DeadLetterBox(Letters(), attempts))
    attributes = {"table_id": GRAPH_ID, "l2_cache_id": TABLE_ID}
    return handler.handle(PushedMessage("15", attributes, np.array(l2_ids, dtype="<u8").tobytes(), attempt))


def edit(cache: SmallCache, *l2_ids: int) -> Verdict:
    handler = MessageHandler(cache.service, DeadLetterBox(Letters(), 1))
    data = f'{{"operation_id": 1, "new_lvl2_ids": {list(l2_ids)}}}'.encode()
    return handler.handle(PushedMessage("16", {"table_id": GRAPH_ID}, data, 1))


def states(cache: SmallCache, *l2_ids: int) -> dict[int, NodeState]:
    return cache.store.read_states(TABLE_ID, np.array(l2_ids, dtype=np.uint64))


def names(cache: SmallCache, *l2_ids: int) -> list[str | None]:
    found = states(cache, *l2_ids)
    return [found[l2_id].name if l2_id in found else None for l2_id in l2_ids]


def test_what_is_begun_is_pending_for_all_and_so_it_is_when_it_comes_again(cache: SmallCache) -> None:
    made, cached = cache.graph.add(A, 1, {1}), cache.graph.add(B, 1, {1})
    assert miss(cache, cached) is Verdict.DONE
    cache.store.write_states(TABLE_ID, {cached: NodeState("seen", 2e9)})
    seen: list[NodeState] = []

    def away(_: Triple) -> None:
        seen.append(states(cache, made)[made])
        raise AWAY

    cache.volume.fail = away
    for attempt in (1, 2):
        assert miss(cache, made, cached, attempt=attempt, attempts=9) is Verdict.RETRY
    assert [state.name for state in seen] == [PENDING, PENDING]
    assert seen[1].since_s > seen[0].since_s
    assert names(cache, made, cached) == [PENDING, "seen"]


def test_at_its_last_delivery_a_messages_ids_are_given_up_with_a_reason_for_clients(cache: SmallCache) -> None:
    made, done, unknown = cache.graph.add(A, 1, {1}), cache.graph.add(B, 1, {1}), node_id(2, B, 9)
    cache.volume.fail = failing(AWAY, A)
    assert miss(cache, made, done, unknown, node_id(1, A, 1)) is Verdict.RETRY
    assert names(cache, made) == [PENDING]
    assert miss(cache, made, done, unknown, node_id(1, A, 1), attempt=2) is Verdict.GIVEN_UP
    assert names(cache, made, unknown, node_id(1, A, 1)) == [FAILED, UNKNOWN, None]
    assert names(cache, done) == [PENDING]  # it has a row, which counts more
    assert states(cache, made)[made].reason == "the segmentation could not be read"


def test_a_chunk_that_can_never_be_computed_fails_its_ids_at_once_and_no_others(cache: SmallCache) -> None:
    lasting, passing = cache.graph.add(A, 1, {1}), cache.graph.add(B, 1, {1})
    cache.graph.fail = failing(GraphResponseError("no such table at host-7"), A)
    cache.volume.fail = failing(AWAY, B)
    assert miss(cache, lasting, passing) is Verdict.RETRY
    assert names(cache, lasting, passing) == [FAILED, PENDING]
    assert miss(cache, lasting, passing, attempt=2) is Verdict.GIVEN_UP
    reasons = [states(cache, l2_id)[l2_id].reason for l2_id in (lasting, passing)]
    assert reasons == ["the graph server's answer could not be used", "the segmentation could not be read"]


def test_a_replay_of_what_was_given_up_is_pending_again(cache: SmallCache) -> None:
    made = cache.graph.add(A, 1, {1})
    cache.volume.fail = failing(AWAY)
    assert miss(cache, made, attempts=1) is Verdict.GIVEN_UP
    assert miss(cache, made, attempts=9) is Verdict.RETRY
    assert names(cache, made) == [PENDING]


def test_an_edits_ids_are_never_pending_but_may_be_given_up(cache: SmallCache) -> None:
    made, not_yet = cache.graph.add(A, 1, {1}), node_id(2, B, 9)
    assert edit(cache, not_yet) is Verdict.DONE
    cache.volume.fail = failing(AWAY, A)
    assert edit(cache, made, not_yet) is Verdict.GIVEN_UP
    assert names(cache, made, not_yet) == [FAILED, None]


def test_ids_of_a_table_that_does_not_exist_are_given_up(tmp_path: Path) -> None:
    cache = SmallCache(tmp_path, table=False)
    made = cache.graph.add(A, 1, {1})
    assert miss(cache, made) is Verdict.FAILED
    assert states(cache, made)[made].reason == "the cache table does not exist"
    cache.store.close()


def test_states_that_cannot_be_written_keep_no_node_from_its_row(
    cache: SmallCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageUnavailableError("away")

    monkeypatch.setattr(cache.store, "write_states", away)
    made = cache.graph.add(A, 1, {1})
    assert miss(cache, made) is Verdict.DONE
    assert set(cache.rows()) == {made}


@pytest.mark.parametrize(
    "error",
    [
        ChunkFaultError("/srv/x died"),
        AWAY,
        ConfigurationError("/etc/x"),
        StorageUnavailableError("/x"),
        L2CacheError("/"),
    ],
)
def test_a_reason_for_clients_says_nothing_of_paths(error: L2CacheError) -> None:
    reason = reason_for_clients(error)
    assert reason
    assert "/" not in reason
