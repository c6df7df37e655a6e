from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shared.attributes import ATTRIBUTES
from shared.config.datasets import Dataset
from shared.errors import GraphUnavailableError, StorageUnavailableError
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout
from shared.lookup.found import STATE_NAMES, Found, IdState
from shared.lookup.misses import MissCounts, MissPublisher
from shared.lookup.query import Query
from shared.lookup.service import Lookup, LookupService
from shared.messages.messages import MissMessage, decode
from shared.store.protocol import FAILED, PENDING, UNKNOWN, CachedCells, NodeState, TableMeta
from shared.store.sqlite import SQLiteStore
from shared.store.states import FAILED_FOR_S, UNKNOWN_FOR_S
from shared.telemetry.log import StepTimer
from shared.types import UInt64Array

DATASET = Dataset("graph", "graphene://https://server/segmentation/table/graph", "cache")
GEOMETRY = GraphGeometry(
    layout=IdLayout(8, ((1, 8), (2, 8), (3, 4))),
    chunk_size_voxels=(64, 64, 64),
    voxel_offset=(0, 0, 0),
    volume_size_voxels=(128, 128, 128),
    resolution_nm=(8.0, 8.0, 40.0),
    mip=0,
    data_dir="",
)
FIRST = 2 << 56
PAUSE_S, PENDING_S = 60.0, 900.0
NONE = dict.fromkeys(STATE_NAMES, 0)
STORED, MISSING, OUTSIDE, SUPERVOXEL = FIRST | 1, FIRST | 2, FIRST | (2 << 48), (1 << 56) | 1


class ObservedStore(SQLiteStore):
    """Remembers which ids it was asked for, and fails when told to."""

    asked: list[int]
    away = False

    def read_cells(self, table_id: str, l2_ids: UInt64Array, attributes: Sequence[str]) -> CachedCells:
        self.asked = [*self.asked, *l2_ids.tolist()]
        if self.away:
            raise StorageUnavailableError("away")
        return super().read_cells(table_id, l2_ids, attributes)


class Graph:
    """A graph that knows its geometry, unless it is away."""

    def __init__(self) -> None:
        self.away = False

    def get(self, dataset: Dataset) -> Graph:
        return self

    def geometry(self) -> GraphGeometry:
        if self.away:
            raise GraphUnavailableError("away")
        return GEOMETRY

    def l2_of_supervoxels(self, supervoxels: UInt64Array, timestamp: datetime | None) -> UInt64Array:
        raise AssertionError("a look-up asks the graph for nothing but its geometry")

    def supervoxels_of(self, l2_ids: UInt64Array) -> dict[int, UInt64Array]:
        raise AssertionError("a look-up asks the graph for nothing but its geometry")


class Bus:
    """Keeps the ids of the misses it is given."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        message = decode(attributes, data)
        assert isinstance(message, MissMessage)
        self.ids += message.l2_ids.tolist()

    def close(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObservedStore]:
    store = ObservedStore(tmp_path / "cache.db")
    store.asked = []
    store.create_table("cache", TableMeta("graph", DATASET.cv_path, datetime(2026, 1, 1, tzinfo=UTC)))
    store.write_voxelless("cache", np.array([STORED], dtype=np.uint64))
    yield store
    store.close()


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def service(store: ObservedStore, graph: Graph, bus: Bus) -> Iterator[LookupService]:
    service = LookupService(
        store, graph, MissPublisher(bus, pause_s=PAUSE_S, message_bytes=8000, per_minute=3), pending_s=PENDING_S
    )
    yield service
    service.close()


def ids(*values: int) -> UInt64Array:
    return np.array(values, dtype=np.uint64)


def find(service: LookupService, *wanted: int, publish: bool = True, strict: bool = False) -> Found:
    attributes = [ATTRIBUTES["size_nm3"]]
    return service.find(DATASET, ids(*wanted), attributes, StepTimer(), "somebody", publish=publish, strict=strict)


def look_up(service: LookupService, *wanted: int) -> Lookup:
    query = Query(ids(*wanted))
    return service.look_up(DATASET, query, StepTimer(), "somebody")


def test_misses_beyond_the_callers_share_are_answered_and_not_published(service: LookupService, bus: Bus) -> None:
    wanted = [MISSING + number for number in range(5)]
    found = look_up(service, STORED, *wanted)
    assert len(json.loads(found.json)) == 6
    assert found.found.publication == MissCounts(published=3, withheld=2)
    assert found.found.counts() == {**NONE, "empty": 1, "pending": 3, "missing": 2}
    assert sorted(bus.ids) == wanted[:3]


def test_ids_that_the_graph_did_not_know_are_not_published_for_an_hour(
    service: LookupService, store: ObservedStore, bus: Bus
) -> None:
    now_s = time.time()
    remembered, forgotten, other = MISSING, MISSING + 1, MISSING + 2
    store.write_states(
        "cache",
        {
            remembered: NodeState(UNKNOWN, now_s - UNKNOWN_FOR_S + 60),
            forgotten: NodeState(UNKNOWN, now_s - UNKNOWN_FOR_S - 60),
            other: NodeState("a state of another version", now_s),
        },
    )
    answer = look_up(service, STORED, remembered, forgotten, other)
    assert json.loads(answer.json)[str(remembered)] == {}
    assert answer.found.counts() == {**NONE, "empty": 1, "unknown": 1, "pending": 2}
    assert list(answer.found.details) == [remembered]
    assert sorted(bus.ids) == [forgotten, other]


def test_what_was_given_up_is_told_with_the_reason_and_published_again_after_a_while(
    service: LookupService, store: ObservedStore, bus: Bus
) -> None:
    now_s = round(time.time())
    recent, old = MISSING, MISSING + 1
    states = {
        recent: NodeState(FAILED, now_s - FAILED_FOR_S + 60, "why"),
        old: NodeState(FAILED, now_s - FAILED_FOR_S - 60, "why"),
    }
    store.write_states("cache", states)
    assert find(service, recent, old, publish=False).details == states
    found = find(service, recent, old)
    assert found.ids(IdState.FAILED).tolist() == [recent]
    assert found.ids(IdState.PENDING).tolist() == [old]
    assert found.details == {recent: states[recent]}
    assert bus.ids == [old]


def test_what_another_instance_published_is_pending_for_a_time_and_not_published_within_the_pause(
    service: LookupService, store: ObservedStore, bus: Bus
) -> None:
    now_s = time.time()
    just_now, a_while_ago, long_ago = MISSING, MISSING + 1, MISSING + 2
    ages_s = {just_now: PAUSE_S - 10, a_while_ago: PAUSE_S + 10, long_ago: PENDING_S + 10}
    store.write_states("cache", {l2_id: NodeState(PENDING, now_s - age_s) for l2_id, age_s in ages_s.items()})
    found = find(service, *ages_s, publish=False)
    assert found.ids(IdState.PENDING).tolist() == [just_now, a_while_ago]
    assert found.ids(IdState.MISSING).tolist() == [long_ago]
    assert find(service, *ages_s).counts() == {**NONE, "pending": 3}
    assert sorted(bus.ids) == [a_while_ago, long_ago]


def test_a_row_counts_more_than_any_state(service: LookupService, store: ObservedStore) -> None:
    store.write_states("cache", {STORED: NodeState(FAILED, time.time(), "why")})
    assert find(service, STORED).counts() == {**NONE, "empty": 1}


def test_without_the_size_a_node_without_voxels_counts_as_cached(service: LookupService) -> None:
    found = service.find(DATASET, ids(STORED), [ATTRIBUTES["pca"]], StepTimer(), "somebody", publish=False)
    assert found.counts() == {**NONE, "cached": 1}


def test_without_the_states_of_ids_misses_are_published(
    service: LookupService, store: ObservedStore, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageUnavailableError("away")

    monkeypatch.setattr(store, "read_states", away)
    assert find(service, MISSING, publish=False).counts() == {**NONE, "missing": 1}
    assert find(service, MISSING).publication.published == 1
    assert bus.ids == [MISSING]
    with pytest.raises(StorageUnavailableError):
        find(service, MISSING, strict=True)


def test_every_distinct_id_is_counted_and_answered_once(service: LookupService, bus: Bus) -> None:
    found = look_up(service, MISSING, STORED, OUTSIDE, STORED, 0, MISSING)
    assert json.loads(found.json) == {"0": {}, str(STORED): {"size_nm3": 0}, str(MISSING): {}, str(OUTSIDE): {}}
    assert found.found.counts() == {**NONE, "empty": 1, "pending": 1, "impossible": 2}
    assert found.found.publication == MissCounts(published=1)
    assert bus.ids == [MISSING]


def test_the_store_is_never_asked_for_ids_that_cannot_exist(service: LookupService, store: ObservedStore) -> None:
    look_up(service, 0, OUTSIDE, SUPERVOXEL, 2**64 - 1, STORED)
    assert store.asked == [STORED]


def test_the_store_is_not_asked_at_all_for_nothing(service: LookupService, store: ObservedStore) -> None:
    store.away = True
    assert look_up(service, 0, OUTSIDE).found.counts() == {**NONE, "impossible": 2}
    assert look_up(service).json == b"{}"
    assert store.asked == []


def test_misses_are_not_published_when_the_store_fails(service: LookupService, store: ObservedStore, bus: Bus) -> None:
    store.away = True
    with pytest.raises(StorageUnavailableError):
        look_up(service, MISSING)
    assert bus.ids == []


def test_a_graph_that_was_away_is_asked_again(service: LookupService, graph: Graph) -> None:
    graph.away = True
    with pytest.raises(GraphUnavailableError):
        look_up(service, STORED)
    graph.away = False
    assert find(service, STORED).numbers[IdState.EMPTY] == 1


def test_misses_that_were_not_to_be_published_are_published_later(service: LookupService, bus: Bus) -> None:
    assert find(service, MISSING, publish=False).publication.published == 0
    assert bus.ids == []
    assert find(service, MISSING).publication.published == 1
    assert find(service, MISSING).publication.published == 0
    assert bus.ids == [MISSING]
