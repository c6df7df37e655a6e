from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.attributes import VOXELLESS_SIZE, feature_cells
from shared.compute.budget import SHORTEST_REQUEST_TIMEOUT_S
from shared.compute.chunk import FilledChunks, MappedChunk
from shared.compute.service import NODES_AT_ONCE, ComputeService
from shared.errors import (
    DeadlineError,
    GraphDisagreementError,
    GraphResponseError,
    GraphUnavailableError,
    L2CacheError,
    OutsideVolumeError,
    StorageUnavailableError,
    TableNotFoundError,
    UnknownDatasetError,
    VolumeUnavailableError,
)
from shared.features.api import chunk_features
from shared.store.protocol import PENDING, UNKNOWN, NodeState
from shared.store.states import UNKNOWN_FOR_S
from shared.telemetry.log import StepTimer
from shared.types import Triple, UInt64Array
from tests.support.graph.small import (
    EMPTY,
    GEOMETRY,
    GRAPH_ID,
    SUPERVOXELS_PER_CHUNK,
    TABLE_ID,
    SmallCache,
    failing,
    node_id,
    voxels_of,
)

ALL = range(1, SUPERVOXELS_PER_CHUNK + 1)
A, B, C = (0, 0, 0), (1, 0, 0), (1, 1, 2)
VOXELLESS_ROW = {"size_nm3": VOXELLESS_SIZE}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SmallCache]:
    made = SmallCache(tmp_path)
    yield made
    made.store.close()


def ids(*l2_ids: int) -> UInt64Array:
    return np.array(l2_ids, dtype=np.uint64)


def row_by_itself(cache: SmallCache, l2_id: int) -> dict[str, bytes]:
    """The row of a node, from a label array that has nothing but its voxels."""
    ((coordinate, _),) = GEOMETRY.group_by_chunk(ids(l2_id))
    voxels = voxels_of(coordinate)
    alone = np.where(np.isin(voxels, cache.graph.members[l2_id]), np.uint64(l2_id), np.uint64(0))
    return dict(feature_cells(chunk_features(alone, GEOMETRY.resolution_nm)))[l2_id]


def test_nodes_get_the_rows_that_each_would_get_by_itself_and_each_chunk_is_read_once(cache: SmallCache) -> None:
    made = [cache.graph.add(A, 1, {1, 2, 3}), cache.graph.add(C, 4, {5}), cache.graph.add(A, 2, {7, 8})]
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(*made, made[0]))
    assert cache.rows() == {l2_id: row_by_itself(cache, l2_id) for l2_id in made}
    assert sorted(cache.volume.reads) == [A, C]
    assert (outcome.n_nodes, outcome.n_voxelless, outcome.refused, outcome.failures) == (3, 0, {}, {})
    assert set(outcome.chunks[A].steps_ms) == {"read", "map", "features", "write"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.sampled_from(ALL), min_size=1), min_size=1, max_size=8))
def test_nodes_that_overlap_get_their_own_rows_each(
    tmp_path_factory: pytest.TempPathFactory, members: list[set[int]]
) -> None:
    cache = SmallCache(tmp_path_factory.mktemp("cache"))
    made = [cache.graph.add(A, segment, supervoxels) for segment, supervoxels in enumerate(members, 1)]
    cache.service.compute_nodes(GRAPH_ID, ids(*made))
    assert cache.rows() == {l2_id: row_by_itself(cache, l2_id) for l2_id in made}
    assert cache.volume.reads == [A]
    cache.store.close()


def test_an_empty_chunk_gives_voxelless_rows_without_asking_the_graph(cache: SmallCache) -> None:
    wanted = [node_id(2, EMPTY, 1), node_id(2, EMPTY, 30)]
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(*wanted))
    assert {l2_id: {"size_nm3": row["size_nm3"]} for l2_id, row in cache.rows().items()} == dict.fromkeys(
        wanted, VOXELLESS_ROW
    )
    assert cache.graph.asked == []
    assert outcome.n_voxelless == 2


def test_a_node_whose_supervoxels_have_no_voxels_is_voxelless(cache: SmallCache) -> None:
    node, ghost = cache.graph.add(A, 1, {1}), cache.graph.add(A, 2, {SUPERVOXELS_PER_CHUNK + 5})
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(node, ghost))
    rows = cache.rows()
    assert rows[node] == row_by_itself(cache, node)
    assert rows[ghost]["size_nm3"] == VOXELLESS_SIZE
    assert (outcome.n_nodes, outcome.n_voxelless) == (1, 1)


def test_a_node_that_the_graph_does_not_know_gets_no_row_and_is_reported(cache: SmallCache) -> None:
    node, unknown = cache.graph.add(A, 1, {1}), node_id(2, A, 9)
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(unknown, node))
    assert set(cache.rows()) == {node}
    assert outcome.unknown_ids == (unknown,)


def test_ids_that_cannot_exist_are_refused_with_their_reason_and_the_others_computed(cache: SmallCache) -> None:
    node = cache.graph.add(A, 1, {1})
    outside, supervoxel, root = node_id(2, (3, 0, 0), 1), node_id(1, A, 1), node_id(3, A, 1)
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(0, outside, node, supervoxel, root))
    assert outcome.refused == {
        0: "not an L2 id",
        supervoxel: "not an L2 id",
        root: "not an L2 id",
        outside: "its chunk lies outside the volume",
    }
    assert set(cache.rows()) == {node}
    assert cache.volume.reads == [A]


def test_nodes_that_have_a_row_are_left_alone(cache: SmallCache) -> None:
    first, second = cache.graph.add(A, 1, {1}), cache.graph.add(B, 1, {1})
    cache.service.compute_nodes(GRAPH_ID, ids(first))
    before = cache.rows()[first]
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(first, second))
    assert cache.volume.reads == [A, B]
    assert cache.rows()[first] == before
    assert (outcome.n_cached, outcome.n_nodes) == (1, 1)


@pytest.mark.parametrize("part", ["graph", "volume"])
@pytest.mark.parametrize("error", [GraphUnavailableError("away"), VolumeUnavailableError("away")])
def test_a_chunk_that_fails_keeps_no_other_from_its_rows_and_is_done_next_time(
    cache: SmallCache, part: str, error: L2CacheError
) -> None:
    made = [cache.graph.add(coordinate, 1, {1, 2}) for coordinate in (A, B, C)]
    getattr(cache, part).fail = failing(error, B)
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(*made))
    assert set(cache.rows()) == {made[0], made[2]}
    assert outcome.failures == {B: error}
    assert outcome.transient_failure is error
    getattr(cache, part).fail = lambda _: None
    assert cache.service.compute_nodes(GRAPH_ID, ids(*made)).failures == {}
    assert cache.rows() == {l2_id: row_by_itself(cache, l2_id) for l2_id in made}


def test_a_failure_that_lasts_is_told_apart_from_one_that_may_pass(cache: SmallCache) -> None:
    made = [cache.graph.add(coordinate, 1, {1}) for coordinate in (A, B)]
    cache.graph.fail = failing(GraphResponseError("no such table"))
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(*made))
    assert set(outcome.failures) == {A, B}
    assert outcome.transient_failure is None


def test_what_does_not_fit_into_the_time_is_done_next_time(tmp_path: Path) -> None:
    now_s = iter(range(0, 1000, 100))
    cache = SmallCache(tmp_path, budget_s=15, clock=lambda: float(next(now_s)))
    made = [cache.graph.add(coordinate, 1, {1}) for coordinate in (A, B, C)]
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(*made))
    assert set(outcome.chunks) == {A}
    assert isinstance(outcome.transient_failure, DeadlineError)
    assert "2 chunks" in str(outcome.transient_failure)
    for _ in range(2):
        outcome = cache.service.compute_nodes(GRAPH_ID, ids(*made))
    assert outcome.failures == {}
    assert set(cache.rows()) == set(made)
    cache.store.close()


def unknown_ids(coordinate: Triple, count: int) -> list[int]:
    return [node_id(2, coordinate, segment) for segment in range(1000, 1000 + count)]


def test_many_ids_of_a_chunk_are_done_in_parts_whose_voxels_are_read_once(cache: SmallCache) -> None:
    made = [cache.graph.add(A, 1, {1}), cache.graph.add(A, 5000, {2}), cache.graph.add(B, 7, {3})]
    unknown = unknown_ids(A, 2 * NODES_AT_ONCE)
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(*made, *unknown))
    assert cache.volume.reads == [A, B]
    assert (outcome.n_nodes, outcome.failures) == (3, {})
    assert outcome.unknown_ids == tuple(unknown)
    assert set(outcome.chunks) == {A, B}
    assert written(cache, *made) == set(made)


def written(cache: SmallCache, *l2_ids: int) -> set[int]:
    return set(cache.store.read_cells(TABLE_ID, ids(*l2_ids), ["size_nm3"]).l2_ids.tolist())


def test_the_time_also_ends_within_a_chunk_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    now_s = iter(range(0, 10_000, 100))
    cache = SmallCache(tmp_path, budget_s=15, clock=lambda: float(next(now_s)))
    low, high, far = cache.graph.add(A, 1, {1}), cache.graph.add(A, 5000, {2}), cache.graph.add(B, 1, {1})
    unknown = unknown_ids(A, 2 * NODES_AT_ONCE)
    deliveries = [
        ([low, *unknown[:499]], {A: DeadlineError}),
        (unknown[499:999], {A: DeadlineError}),
        ([unknown[999], high], {B: DeadlineError}),
        ([far], {}),
    ]
    for done, failures in deliveries:
        outcome = cache.service.compute_nodes(GRAPH_ID, ids(low, high, far, *unknown))
        assert cache.graph.asked == done
        cache.graph.asked.clear()
        assert len(outcome.chunks) == 1
        assert {chunk: type(error) for chunk, error in outcome.failures.items()} == failures
    assert written(cache, low, high, far) == {low, high, far}
    cache.store.close()


def test_a_part_that_fails_keeps_the_rows_of_those_before_it(cache: SmallCache) -> None:
    low, high, far = cache.graph.add(A, 1, {1}), cache.graph.add(A, 5000, {2}), cache.graph.add(B, 1, {1})
    error, questions = GraphUnavailableError("away"), iter(range(9))

    def fail(coordinate: Triple) -> None:
        if coordinate == A and next(questions):
            raise error

    cache.graph.fail = fail
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(low, high, far, *unknown_ids(A, NODES_AT_ONCE)))
    assert outcome.failures == {A: error}
    assert (outcome.chunks[A].n_nodes, len(outcome.chunks[A].unknown_ids)) == (1, NODES_AT_ONCE - 1)
    assert written(cache, low, high, far) == {low, far}


def test_the_graph_is_given_the_time_that_is_left_for_a_question(tmp_path: Path) -> None:
    now_s = iter([0.0, 100.0, 150.0, 290.0, 290.0, 299.0])
    cache = SmallCache(tmp_path, budget_s=300.0, clock=lambda: next(now_s))
    made = [cache.graph.add(coordinate, 1, {1}) for coordinate in (A, B, C)]
    cache.service.compute_nodes(GRAPH_ID, ids(*made))
    assert cache.graph.given_s == [200.0, SHORTEST_REQUEST_TIMEOUT_S, SHORTEST_REQUEST_TIMEOUT_S]
    cache.store.close()


class Clock:
    def __init__(self) -> None:
        self.s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.s


def other_instance(cache: SmallCache, now_s: Clock, **arguments: Any) -> ComputeService:
    """A service of another process on the same tables."""
    return ComputeService(cache.datasets, cache.store, cache.graph, cache.volume, now_s=now_s, **arguments)


def test_an_id_that_the_graph_does_not_know_is_left_alone_by_all_instances_for_an_hour(cache: SmallCache) -> None:
    clock = Clock()
    node, unknown = cache.graph.add(A, 1, {1}), unknown_ids(A, 3) + unknown_ids(C, 1)
    asked = ids(node, *unknown)
    first = other_instance(cache, clock).compute_nodes(GRAPH_ID, asked)
    assert (set(first.unknown_ids), first.n_remembered) == (set(unknown), 0)
    assert cache.store.read_states(TABLE_ID, ids(*unknown)) == dict.fromkeys(unknown, NodeState(UNKNOWN, clock.s))
    cache.graph.asked.clear()
    cache.volume.reads.clear()
    for age_s in (0.0, 60.0, UNKNOWN_FOR_S - 1):
        clock.s = 1_800_000_000.0 + age_s
        again = other_instance(cache, clock).compute_nodes(GRAPH_ID, asked)
        assert (again.unknown_ids, again.n_remembered, again.n_cached) == ((), 4, 1)
        assert (again.chunks, again.failures) == ({}, {})
    assert (cache.graph.asked, cache.volume.reads) == ([], [])
    clock.s = 1_800_000_000.0 + UNKNOWN_FOR_S
    later = other_instance(cache, clock).compute_nodes(GRAPH_ID, asked)
    assert (set(later.unknown_ids), later.n_remembered) == (set(unknown), 0)
    assert other_instance(cache, clock).compute_nodes(GRAPH_ID, asked).n_remembered == 4


def test_an_edit_asks_for_ids_all_the_same_since_they_may_exist_by_now(cache: SmallCache) -> None:
    new, unknown = node_id(2, A, 1), node_id(2, A, 2)
    assert cache.service.compute_nodes(GRAPH_ID, ids(new, unknown)).unknown_ids == (new, unknown)
    cache.graph.add(A, 1, {1, 2})
    assert cache.service.compute_nodes(GRAPH_ID, ids(new, unknown)).n_remembered == 2
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(new, unknown), is_edit=True)
    assert (outcome.n_nodes, outcome.unknown_ids, outcome.n_remembered) == (1, (unknown,), 0)
    other = node_id(2, A, 3)
    assert cache.service.compute_nodes(GRAPH_ID, ids(other), is_edit=True).unknown_ids == (other,)
    assert cache.service.compute_nodes(GRAPH_ID, ids(other)).n_remembered == 0
    assert cache.rows() == {new: row_by_itself(cache, new)}


def test_voxels_are_not_read_for_unknown_ids_of_a_chunk_that_is_known_to_have_some(cache: SmallCache) -> None:
    unknown = unknown_ids(A, 4)
    for l2_id in unknown:
        cache.service.compute_nodes(GRAPH_ID, ids(l2_id))
    assert cache.volume.reads == [A]
    assert cache.graph.asked == unknown
    node = cache.graph.add(A, 1, {1})
    cache.service.compute_nodes(GRAPH_ID, ids(node))
    assert cache.volume.reads == [A, A]
    assert cache.rows() == {node: row_by_itself(cache, node)}


def test_unknown_ids_are_remembered_even_where_the_voxels_cannot_be_read(cache: SmallCache) -> None:
    node, (unknown, other) = cache.graph.add(A, 1, {1}), unknown_ids(A, 2)
    cache.service.compute_nodes(GRAPH_ID, ids(other))
    cache.volume.fail = failing(VolumeUnavailableError("away"))
    assert A in cache.service.compute_nodes(GRAPH_ID, ids(node, unknown)).failures
    states = cache.store.read_states(TABLE_ID, ids(node, unknown))
    assert (states[node].name, states[unknown].name) == (PENDING, UNKNOWN)


def test_ids_of_an_empty_chunk_are_no_unknown_ones(cache: SmallCache) -> None:
    wanted = unknown_ids(EMPTY, NODES_AT_ONCE + 1)
    outcome = cache.service.compute_nodes(GRAPH_ID, ids(*wanted))
    assert (outcome.n_voxelless, outcome.unknown_ids) == (len(wanted), ())
    assert cache.volume.reads == [EMPTY]
    assert {state.name for state in cache.store.read_states(TABLE_ID, ids(*wanted)).values()} == {PENDING}
    assert written(cache, *wanted) == set(wanted)


def test_of_the_chunks_that_have_voxels_the_one_of_no_use_for_longest_is_forgotten_first() -> None:
    filled = FilledChunks(capacity=2)
    filled.add("g", A)
    filled.add("g", B)
    assert filled.has("g", A)
    filled.add("g", C)
    assert [filled.has("g", chunk) for chunk in (A, B, C)] == [True, False, True]
    assert not filled.has("h", A)


def test_without_the_table_nothing_is_computed(tmp_path: Path) -> None:
    cache = SmallCache(tmp_path, table=False)
    with pytest.raises(TableNotFoundError):
        cache.service.compute_nodes(GRAPH_ID, ids(cache.graph.add(A, 1, {1})))
    assert cache.volume.reads == []
    cache.store.close()


def test_a_storage_that_is_away_ends_the_whole(cache: SmallCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StorageUnavailableError("away")

    made = [cache.graph.add(coordinate, 1, {1}) for coordinate in (A, B)]
    monkeypatch.setattr(cache.store, "write_features", away)
    with pytest.raises(StorageUnavailableError):
        cache.service.compute_nodes(GRAPH_ID, ids(*made))
    assert cache.volume.reads == [A]


def test_an_unknown_dataset_is_refused(cache: SmallCache) -> None:
    with pytest.raises(UnknownDatasetError, match="nowhere"):
        cache.service.compute_nodes("nowhere", ids(1))


def compute_chunk(cache: SmallCache, coordinate: Triple) -> int:
    steps = StepTimer()
    loaded = cache.service.load_chunk(GRAPH_ID, coordinate, steps)
    (mapped,) = cache.service.map_chunks(GRAPH_ID, [loaded], datetime(2026, 1, 1, tzinfo=UTC), steps)
    assert isinstance(mapped, MappedChunk)
    features = cache.service.compute_features(GRAPH_ID, loaded, mapped.nodes, steps)
    cache.service.write_rows(GRAPH_ID, [features], steps)
    return len(features)


def test_a_whole_chunk_has_a_row_per_current_node(cache: SmallCache) -> None:
    old, *new = (cache.graph.add(A, 1, {1, 2, 3}), cache.graph.add(A, 2, {1}), cache.graph.add(A, 3, {2, 3, 4}))
    assert compute_chunk(cache, A) == 2
    assert cache.rows() == {l2_id: row_by_itself(cache, l2_id) for l2_id in new}
    assert old not in cache.rows()


def test_a_whole_chunk_and_its_nodes_one_by_one_have_the_same_rows(cache: SmallCache, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = SmallCache(tmp_path / "other")
    for coordinate in np.ndindex(GEOMETRY.grid_shape):
        for segment in range(1, 7):
            for each in (cache, other):
                each.graph.add(coordinate, segment, {2 * segment - 1, 2 * segment})
        compute_chunk(cache, coordinate)
    other.service.compute_nodes(GRAPH_ID, ids(*other.graph.members))
    assert cache.rows() == {l2_id: row for l2_id, row in other.rows().items() if row["size_nm3"] != VOXELLESS_SIZE}
    assert len(cache.rows()) > 60
    other.store.close()


def test_an_empty_chunk_is_nothing_to_write(cache: SmallCache) -> None:
    assert compute_chunk(cache, EMPTY) == 0
    assert cache.rows() == {}


def test_supervoxels_without_a_node_are_background(cache: SmallCache) -> None:
    node = cache.graph.add(A, 1, {3})
    compute_chunk(cache, A)
    assert cache.rows() == {node: row_by_itself(cache, node)}


def test_whole_chunks_that_the_graph_gives_away_or_gives_no_node_are_errors_of_their_own(cache: SmallCache) -> None:
    cache.graph.complete = True
    own = cache.graph.add(A, 1, ALL)
    cache.graph.members[node_id(2, A, 2)] = [node_id(1, B, segment) for segment in ALL]
    steps = StepTimer()
    chunks = [A, B, (1, 1, 1), (2, 0, 2), EMPTY]
    loaded = [cache.service.load_chunk(GRAPH_ID, coordinate, steps) for coordinate in chunks]
    assert [len(chunk.supervoxels) for chunk in loaded] == [12, 12, 12, 7, 0]
    right, away, none, few, empty = cache.service.map_chunks(GRAPH_ID, loaded, datetime(2026, 1, 1, tzinfo=UTC), steps)
    assert isinstance(right, MappedChunk)
    assert set(right.nodes.tolist()) == {own}
    assert isinstance(away, GraphDisagreementError)
    assert "gives 12 of the chunk's 12 supervoxels to other chunks" in str(away)
    assert isinstance(none, GraphDisagreementError)
    assert "none of the chunk's 12" in str(none)
    assert isinstance(few, MappedChunk)
    assert isinstance(empty, MappedChunk)


def test_a_node_of_another_chunk_never_gets_a_row_from_this_one(
    cache: SmallCache, caplog: pytest.LogCaptureFixture
) -> None:
    own, stranger = cache.graph.add(A, 1, {3}), node_id(2, B, 1)
    cache.graph.members[stranger] = [node_id(1, A, 4)]
    compute_chunk(cache, A)
    assert set(cache.rows()) == {own}
    assert "other chunks" in caplog.text


def test_a_chunk_outside_the_grid_is_refused(cache: SmallCache) -> None:
    with pytest.raises(OutsideVolumeError):
        compute_chunk(cache, (3, 0, 0))


def test_a_chunk_without_a_table_says_so(tmp_path: Path) -> None:
    cache = SmallCache(tmp_path, table=False)
    cache.graph.add(A, 1, {1})
    with pytest.raises(TableNotFoundError, match=TABLE_ID):
        compute_chunk(cache, A)
    cache.store.close()
