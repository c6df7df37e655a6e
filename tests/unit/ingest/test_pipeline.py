"""Chunks through the pipeline: in batches, side by side, and each with its own fate."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.compute.chunk import LoadedChunk, MappedChunk
from shared.errors import GraphResponseError, GraphUnavailableError, L2CacheError, VolumeUnavailableError
from shared.features.result import Features
from shared.geometry.grid import Box
from shared.ingest.blocks import chunks
from shared.ingest.leaf.pipeline import BATCHES_AHEAD, READERS, ChunkResult, compute_chunks
from shared.ingest.run import Run
from shared.telemetry.log import StepTimer
from shared.types import Triple, UInt64Array
from tests.support.graph.small import GEOMETRY, GRAPH_ID, TABLE_ID, SmallCache, failing
from tests.support.ingest_site import MOMENT

GRID = Box((0, 0, 0), GEOMETRY.grid_shape)
RUN = Run(GRAPH_ID, TABLE_ID, MOMENT, GRID, GRID.volume, 0.0)
ALL = list(chunks(GRID))
WAIT_S = 20.0


@dataclass
class Watched:
    """A compute service that says when its steps begin; `before` may wait or raise.

    Attributes:
      threads: that it has to compute.
      calls: step and chunks of each call, in the order in which they began.
      shares: how many threads chunks were computed with.
    """

    inner: Any
    before: dict[str, Callable[[list[Triple]], None]] = field(default_factory=dict)
    threads: int = 1
    calls: list[tuple[str, list[Triple]]] = field(default_factory=list)
    shares: dict[Triple, int | None] = field(default_factory=dict)

    def _begin(self, step: str, coordinates: list[Triple]) -> None:
        self.calls.append((step, coordinates))
        self.before.get(step, lambda _: None)(coordinates)

    def of(self, step: str) -> list[list[Triple]]:
        return [coordinates for name, coordinates in self.calls if name == step]

    def load_chunk(self, graph_id: str, coordinate: Triple, steps: StepTimer) -> LoadedChunk:
        self._begin("read", [coordinate])
        return self.inner.load_chunk(graph_id, coordinate, steps)

    def map_chunks(
        self, graph_id: str, loaded: Sequence[LoadedChunk], timestamp: datetime | None, steps: StepTimer
    ) -> list[MappedChunk | L2CacheError]:
        self._begin("map", [chunk.coordinate for chunk in loaded])
        return self.inner.map_chunks(graph_id, loaded, timestamp, steps)

    def compute_features(
        self, graph_id: str, loaded: LoadedChunk, nodes: UInt64Array, steps: StepTimer, threads: int | None = None
    ) -> Features:
        self.shares[loaded.coordinate] = threads
        self._begin("features", [loaded.coordinate])
        return self.inner.compute_features(graph_id, loaded, nodes, steps, threads)

    def write_rows(self, graph_id: str, parts: Sequence[Features], steps: StepTimer) -> None:
        ids = np.concatenate([part.node_ids for part in parts]) if parts else np.empty(0, np.uint64)
        self._begin("write", [coordinate for coordinate, _ in GEOMETRY.group_by_chunk(ids)])
        self.inner.write_rows(graph_id, parts, steps)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SmallCache]:
    cache = SmallCache(tmp_path)
    for coordinate in ALL:
        cache.graph.add(coordinate, 1, range(1, 6))
        cache.graph.add(coordinate, 2, range(6, 12))
    yield cache
    cache.store.close()


def computed(computer: Watched, batch_chunks: int) -> list[ChunkResult]:
    return list(compute_chunks(computer, RUN, ALL, StepTimer(), batch_chunks))


@pytest.mark.parametrize(("batch_chunks", "threads"), [(1, 1), (1, 3), (2, 1), (5, 2), (len(ALL), 1), (1000, 8)])
def test_rows_and_results_depend_neither_on_the_batches_nor_on_threads(
    cache: SmallCache, tmp_path: Path, batch_chunks: int, threads: int
) -> None:
    (tmp_path / "alone").mkdir()
    alone = SmallCache(tmp_path / "alone")
    alone.graph.members = cache.graph.members
    for coordinate in ALL:
        loaded = alone.service.load_chunk(GRAPH_ID, coordinate, StepTimer())
        (mapped,) = alone.service.map_chunks(GRAPH_ID, [loaded], MOMENT, StepTimer())
        assert isinstance(mapped, MappedChunk)
        features = alone.service.compute_features(GRAPH_ID, loaded, mapped.nodes, StepTimer())
        alone.service.write_rows(GRAPH_ID, [features], StepTimer())
    results = computed(Watched(cache.service, threads=threads), batch_chunks)
    assert [result.chunk for result in results] == ALL
    assert sum(result.rows for result in results) == len(alone.rows()) > len(ALL)
    assert cache.rows() == alone.rows()
    alone.store.close()


def test_a_batch_is_one_question_and_one_write(cache: SmallCache) -> None:
    computer = Watched(cache.service)
    computed(computer, 5)
    batches = [ALL[start : start + 5] for start in range(0, len(ALL), 5)]
    assert computer.of("map") == batches
    assert len(computer.of("write")) == len(batches)
    assert sorted(coordinate for batch in computer.of("write") for coordinate in batch) == sorted(
        coordinate for coordinate in ALL if len(np.unique(cache.volume.read_chunk(coordinate))) > 1
    )


def test_the_steps_of_several_batches_go_on_side_by_side(cache: SmallCache) -> None:
    """Computing the third chunk ends only after the second is being written, the fourth mapped and the fifth read."""
    begun = {step: threading.Event() for step in ("write", "map", "read")}
    awaited = {"write": ALL[1], "map": ALL[3], "read": ALL[4]}

    def note(step: str) -> Callable[[list[Triple]], None]:
        return lambda coordinates: begun[step].set() if awaited[step] in coordinates else None

    def wait(coordinates: list[Triple]) -> None:
        if coordinates == [ALL[2]]:
            assert all(event.wait(WAIT_S) for event in begun.values()), begun

    computer = Watched(cache.service, {**{step: note(step) for step in begun}, "features": wait})
    assert all(result.error is None for result in computed(computer, 1))


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_keeps_a_bounded_distance(cache: SmallCache, threads: int) -> None:
    computer = Watched(cache.service, threads=threads)
    results = compute_chunks(computer, RUN, ALL, StepTimer(), 1)
    next(results)
    # One is computed and written; behind it are those that are computed, one that waits for it, and those read ahead.
    most = threads + 1 + BATCHES_AHEAD + 1
    assert len(computer.of("read")) <= most
    results.close()
    assert len(computer.of("read")) <= most + READERS
    assert len(computer.of("read")) < len(ALL)


def test_as_many_chunks_are_computed_at_once_as_there_are_threads(cache: SmallCache) -> None:
    three = threading.Barrier(3)
    filled = [chunk for chunk in ALL if len(np.unique(cache.volume.read_chunk(chunk))) > 1][:9]
    computer = Watched(cache.service, {"features": lambda _: three.wait(WAIT_S) and None}, threads=3)
    results = compute_chunks(computer, RUN, filled, StepTimer(), 1)
    assert [result.error for result in results] == [None] * 9
    # each has a thread, while there are as many; the last have what is left over
    assert [computer.shares[chunk] for chunk in filled] == [1] * 7 + [2, 3]


@pytest.mark.parametrize(("threads", "shares"), [(1, [1, 1]), (2, [1, 2]), (4, [2, 4]), (5, [3, 5])])
def test_few_chunks_get_all_threads_there_are(cache: SmallCache, threads: int, shares: list[int]) -> None:
    computer = Watched(cache.service, threads=threads)
    assert all(result.error is None for result in compute_chunks(computer, RUN, ALL[:2], StepTimer()))
    assert [computer.shares[chunk] for chunk in ALL[:2]] == shares


def test_a_chunk_that_cannot_be_read_fails_alone(cache: SmallCache) -> None:
    cache.volume.fail = failing(VolumeUnavailableError("the storage coughs"), ALL[3])
    results = computed(Watched(cache.service), 4)
    assert [(r.chunk, str(r.error)) for r in results if r.error] == [(ALL[3], "the storage coughs")]
    assert [result.chunk for result in results] == ALL


def refusing(error: L2CacheError, chunk: Triple) -> Callable[[list[Triple]], None]:
    def refuse(coordinates: list[Triple]) -> None:
        if chunk in coordinates:
            raise error

    return refuse


def test_of_a_batch_that_the_graph_refuses_only_the_chunk_that_is_the_cause_fails(cache: SmallCache) -> None:
    computer = Watched(cache.service, {"map": refusing(GraphResponseError("odd"), ALL[6])})
    results = computed(computer, 4)
    assert [result.chunk for result in results if result.error] == [ALL[6]]
    assert [result.chunk for result in results] == ALL
    assert len(cache.rows()) == sum(result.rows for result in results)


def test_a_graph_that_is_away_fails_the_batch_and_is_not_pressed_with_its_parts(cache: SmallCache) -> None:
    computer = Watched(cache.service, {"map": refusing(GraphUnavailableError("away"), ALL[6])})
    results = computed(computer, 4)
    assert [result.chunk for result in results if result.error] == ALL[4:8]
    assert len(computer.of("map")) == -(-len(ALL) // 4)


def test_a_write_that_fails_fails_what_it_should_have_written(cache: SmallCache) -> None:
    computer = Watched(cache.service, {"write": refusing(L2CacheError("full"), ALL[1])})
    results = computed(computer, 3)
    assert [(result.chunk, result.rows) for result in results if result.error] == [(chunk, 0) for chunk in ALL[:3]]
    assert all(result.error is None for result in results[3:])


@pytest.mark.parametrize("step", ["read", "map", "features", "write"])
def test_a_fault_of_our_own_ends_the_whole(cache: SmallCache, step: str) -> None:
    def fault(_: list[Triple]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        computed(Watched(cache.service, {step: fault}), 2)


def test_chunks_are_asked_for_as_they_are_begun(cache: SmallCache) -> None:
    """The caller's iterator decides late whether there is time for another chunk."""
    asked: list[Triple] = []

    def source() -> Iterator[Triple]:
        for chunk in ALL:
            asked.append(chunk)
            yield chunk

    results = compute_chunks(Watched(cache.service), RUN, source(), StepTimer(), 2)
    list(islice(results, 2))
    assert len(asked) <= 2 * (2 + BATCHES_AHEAD + 1)
    assert len(asked) < len(ALL)
    results.close()
