"""Computing against the stand-in graph server when it answers wrongly: nothing wrong is written, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from werkzeug import Request, Response

from infra.standin.graph.app import create_app
from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.table import Cell, encode_id, encode_ids, row_key
from shared.compute.service import NODES_AT_ONCE, ComputeService
from shared.errors import GraphDisagreementError, GraphUnavailableError
from shared.geometry.grid import Box
from shared.graph.address import GraphAddress
from shared.graph.server import GraphServer
from shared.graph.transport import GraphTransport
from shared.ingest.blocks import chunks
from shared.ingest.leaf.pipeline import ChunkResult, compute_chunks
from shared.ingest.run import Run
from shared.telemetry.log import StepTimer
from shared.types import Triple, UInt64Array
from tests.support.graph.servers import Flaky, serving
from tests.support.graph.small import (
    CHUNK,
    GEOMETRY,
    GRAPH_ID,
    SIZE,
    SUPERVOXELS_PER_CHUNK,
    TABLE_ID,
    SmallCache,
    SmallGraph,
    node_id,
    voxels_of,
)

MADE = datetime(2026, 1, 1, tzinfo=UTC)
LATER = MADE + timedelta(days=1)
GRID = Box((0, 0, 0), GEOMETRY.grid_shape)
ALL = list(chunks(GRID))
A, B = (0, 0, 0), (1, 0, 0)
FULL = [chunk for chunk in ALL if len(np.unique(voxels_of(chunk))) > 11]
INFO = {
    "data_dir": "memory",
    "graph": {"chunk_size": CHUNK, "spatial_bit_masks": {"1": 8, "2": 8, "3": 4}, "cv_mip": 0, "n_layers": 3},
    "scales": [{"resolution": [16, 16, 40], "size": SIZE, "voxel_offset": [100, 50, 0]}],
}
Answer = Callable[[Request], bytes | str]


def halves(chunk: Triple) -> dict[int, list[int]]:
    """The nodes of a chunk: one of the lower half of its supervoxels, one of the upper."""
    half = SUPERVOXELS_PER_CHUNK // 2
    groups = range(1, half + 1), range(half + 1, SUPERVOXELS_PER_CHUNK + 1)
    return {
        node_id(2, chunk, number): [node_id(1, chunk, segment) for segment in group]
        for number, group in enumerate(groups, 1)
    }


def cells_of(made: dict[int, list[int]]) -> Iterator[Cell]:
    time_us = int(MADE.timestamp()) * 1_000_000
    for l2_id, members in made.items():
        yield Cell(row_key(l2_id), "0", "children", time_us, encode_ids(np.array(members, dtype=np.uint64)))
        for supervoxel in members:
            yield Cell(row_key(supervoxel), "0", "parents", time_us, encode_id(l2_id))


class WrongGraph:
    """The small cache over the stand-in, whose answers a test replaces.

    Attributes:
      cache: table, volume, and a right graph of the same nodes.
      service: computes with the stand-in.
      wrong: by the beginning of a path, what is answered there.
    """

    def __init__(self, folder: Path, flaky: Flaky, url: str) -> None:
        self.cache, self.flaky = SmallCache(folder), flaky
        self.wrong: dict[str, Answer] = {}
        flaky.plan = self._plan
        address = GraphAddress.parse(f"graphene://{url}/segmentation/table/small")
        self.server = GraphServer(address, GraphTransport(None, 30.0, 2, sleep=lambda _: None))
        self.service = self.instance()

    def instance(self) -> ComputeService:
        """A service as another process would make it."""
        cache, server = self.cache, self.server

        class OneGraph:
            def get(self, _dataset: object) -> GraphServer:
                return server

        return ComputeService(cache.datasets, cache.store, OneGraph(), cache.volume)

    def _plan(self, request: Request) -> Response | None:
        path = request.path.partition("/table/small/")[2]
        return next((Response(answer(request)) for begin, answer in self.wrong.items() if path.startswith(begin)), None)

    def ingest(self, moment: datetime = LATER, batch_chunks: int = 1) -> dict[Triple, ChunkResult]:
        """All chunks through the ingest's pipeline."""
        run = Run(GRAPH_ID, TABLE_ID, moment, GRID, GRID.volume, 0.0)
        results = compute_chunks(self.service, run, ALL, StepTimer(), batch_chunks)
        return {result.chunk: result for result in results}

    def paths(self) -> list[str]:
        """What was asked since the last time, but for the graph's description."""
        paths = [path for path in self.flaky.paths() if path != "info"]
        self.flaky.requests.clear()
        return paths


@pytest.fixture
def made() -> dict[int, list[int]]:
    """The nodes of the stand-in's graph."""
    return {l2_id: members for chunk in ALL for l2_id, members in halves(chunk).items()}


@pytest.fixture
def graph(tmp_path: Path, made: dict[int, list[int]]) -> Iterator[WrongGraph]:
    unused: Any = None
    flaky = Flaky(create_app("small", ChunkedGraph(INFO, cells_of(made)), unused))
    with serving(flaky) as url:
        graph = WrongGraph(tmp_path, flaky, url)
        yield graph
        graph.cache.store.close()


@pytest.fixture
def right_rows(tmp_path: Path, made: dict[int, list[int]]) -> dict[int, dict[str, bytes]]:
    """The rows of nodes that have voxels, computed with a graph that is right."""
    (tmp_path / "right").mkdir()
    cache = SmallCache(tmp_path / "right")
    assert isinstance(cache.graph, SmallGraph)
    cache.graph.members.update(made)
    run = Run(GRAPH_ID, TABLE_ID, LATER, GRID, GRID.volume, 0.0)
    assert not [result for result in compute_chunks(cache.service, run, ALL, StepTimer()) if result.error]
    rows = cache.rows()
    cache.store.close()
    return rows


def ids(*l2_ids: int) -> UInt64Array:
    return np.array(l2_ids, dtype=np.uint64)


def asked(request: Request) -> UInt64Array:
    return np.frombuffer(request.get_data(), dtype="<u8").astype(np.uint64)


def of_chunk_b(l2_id: int) -> list[int]:
    return [node_id(1, B, segment) for segment in range(1, 4)]


STRANGERS: dict[str, dict[str, Answer]] = {
    "many at once": {
        "node/leaves_many": lambda request: json.dumps(
            {str(l2_id): of_chunk_b(l2_id) for l2_id in json.loads(request.get_data())["node_ids"]}
        )
    },
    "one by one": {
        "node/leaves_many": lambda request: "{}",
        "node/": lambda request: json.dumps({"leaf_ids": of_chunk_b(int(request.path.split("/")[-2]))}),
    },
    "a whole chunk": {
        "node/leaves_many": lambda request: "{}",
        "l2_chunk_children_binary": lambda request: np.array(
            [(l2_id, member) for l2_id in halves(A) for member in of_chunk_b(l2_id)], dtype="<u8"
        ).tobytes(),
    },
}


@pytest.mark.parametrize("way", STRANGERS)
def test_supervoxels_of_another_chunk_leave_no_row_and_the_nodes_get_theirs_once_the_graph_is_right(
    graph: WrongGraph, right_rows: dict[int, dict[str, bytes]], way: str
) -> None:
    wanted = [*halves(A), node_id(2, A, 77)]
    graph.wrong = STRANGERS[way]
    outcome = graph.service.compute_nodes(GRAPH_ID, ids(*wanted[: 2 if way == "one by one" else 3]))
    assert graph.cache.rows() == {}
    assert outcome.unknown_ids == ()
    assert isinstance(outcome.transient_failure, GraphUnavailableError)
    assert f"node {wanted[0]}" in str(outcome.transient_failure)
    states = graph.cache.store.read_states(TABLE_ID, ids(*wanted))
    assert {state.name for state in states.values()} == {"pending"}  # comes again, and is not said to be unknown
    graph.wrong = {}
    assert graph.service.compute_nodes(GRAPH_ID, ids(*wanted)).unknown_ids == (wanted[2],)
    assert graph.cache.rows() == {l2_id: right_rows[l2_id] for l2_id in halves(A)}


def random_ids(request: Request) -> bytes:
    return np.random.default_rng(3).integers(0, 2**64, asked(request).size, dtype=np.uint64).tobytes()


def nodes_of_others(request: Request) -> bytes:
    return np.array([node_id(2, (7, 7, 7), 1)] * asked(request).size, dtype="<u8").tobytes()


def zeros(request: Request) -> bytes:
    return bytes(8 * asked(request).size)


@pytest.mark.parametrize("batch_chunks", [1, 5, 64])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [(random_ids, "other chunks"), (nodes_of_others, "other chunks"), (zeros, "none of the chunk's")],
)
def test_chunks_whose_parents_are_wrong_fail_with_that_reason_and_are_whole_once_the_graph_is_right(
    graph: WrongGraph, right_rows: dict[int, dict[str, bytes]], answer: Answer, reason: str, batch_chunks: int
) -> None:
    graph.wrong = {"roots_binary": answer}
    failed = {chunk: result for chunk, result in graph.ingest(batch_chunks=batch_chunks).items() if result.error}
    assert set(failed) >= set(FULL)
    assert all(isinstance(result.error, GraphDisagreementError) for result in failed.values())
    assert all(reason in str(result.error) for result in failed.values())
    assert graph.cache.rows() == {}
    graph.wrong = {}
    assert not [result for result in graph.ingest(batch_chunks=batch_chunks).values() if result.error]
    assert graph.cache.rows() == right_rows


def test_a_few_supervoxels_given_to_others_are_counted_and_the_rest_of_the_chunk_is_done(graph: WrongGraph) -> None:
    loaded = graph.service.load_chunk(GRAPH_ID, A, StepTimer())
    holder = {member: l2_id for l2_id, members in halves(A).items() for member in members}

    def three_wrong(request: Request) -> bytes:
        parents = [node_id(2, B, 1)] * 3 + [holder[supervoxel] for supervoxel in asked(request).tolist()[3:]]
        return np.array(parents, dtype="<u8").tobytes()

    graph.wrong = {"roots_binary": three_wrong}
    (mapped,) = graph.service.map_chunks(GRAPH_ID, [loaded], LATER, StepTimer())
    assert not isinstance(mapped, Exception)
    assert mapped.n_foreign == 3
    assert mapped.nodes.tolist() == [0] * 3 + [holder[supervoxel] for supervoxel in loaded.supervoxels.tolist()[3:]]


def test_before_the_graph_was_made_all_chunks_are_done_and_have_no_rows(graph: WrongGraph) -> None:
    results = graph.ingest(MADE - timedelta(days=1))
    assert not [result for result in results.values() if result.error]
    assert graph.cache.rows() == {}


class TestGraphOfAnotherVolume:
    """The graph has no supervoxel of the volume: requests for one chunk's come back as they went."""

    @pytest.fixture
    def made(self) -> dict[int, list[int]]:
        return halves((2, 1, 2))

    @pytest.mark.parametrize("batch_chunks", [1, 64])
    def test_is_no_graph_that_is_made_later(self, graph: WrongGraph, batch_chunks: int) -> None:
        results = graph.ingest(batch_chunks=batch_chunks)
        assert all("none of the chunk's 1" in str(results[chunk].error) for chunk in FULL)


def test_a_flood_of_unknown_ids_of_a_chunk_costs_the_graph_little_and_once(graph: WrongGraph) -> None:
    """5,000 ids in ten messages: two questions each, and one reading of the chunk; then none for an hour."""
    unknown = [node_id(2, A, segment) for segment in range(1000, 1000 + 10 * NODES_AT_ONCE)]
    messages = [ids(*unknown[start : start + NODES_AT_ONCE]) for start in range(0, len(unknown), NODES_AT_ONCE)]
    for message in messages:
        assert len(graph.service.compute_nodes(GRAPH_ID, message).unknown_ids) == NODES_AT_ONCE
    assert len(graph.paths()) == 2 * len(messages)
    assert graph.cache.volume.reads == [A]
    for message in messages:
        assert graph.instance().compute_nodes(GRAPH_ID, message).n_remembered == NODES_AT_ONCE
    assert graph.paths() == []
    assert graph.cache.volume.reads == [A]
