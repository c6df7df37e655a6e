"""The graph's own Bigtable table, read in the emulator, against the graph server and against a slow reading of it."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.standin.bigtable_dump import restore_dump
from infra.standin.graph.server import GraphFiles, make_graph_server
from infra.standin.graph.table import read_dump
from shared.config.datasets import Dataset
from shared.config.settings import Settings
from shared.geometry.grid import as_triple
from shared.geometry.ids import IdLayout, compose_ids, node_coordinates, slices_of_chunks
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.clients import DataClients
from shared.graph.bigtable import GraphTable
from shared.graph.registry import Graphs
from shared.types import Triple, UInt64Array

MERGE = datetime(2026, 11, 22, 13, 3, 23, 878_000, tzinfo=UTC)
MOMENTS = {
    "before the graph": datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "at the graph's first moment": datetime(2026, 1, 1, tzinfo=UTC),
    "between graph and merge": datetime(2026, 6, 1, tzinfo=UTC),
    "a microsecond before the merge": MERGE - timedelta(microseconds=1),
    "at the merge's millisecond": MERGE,
    "within the merge's millisecond": MERGE + timedelta(microseconds=999),
    "long after": datetime(2027, 1, 1, tzinfo=UTC),
    "now": None,
}
STATES = ("before_merge", "after_merge")
LAYOUT = IdLayout(8, ((1, 10), (2, 10), (3, 2), (4, 1), (5, 1)))
MERGE_US = 1_795_352_603_878_000
UNKNOWN_SEGMENT = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RealGraph:
    """The real graph in one state: its table in the emulator, a graph server over it, and its dump."""

    def __init__(self, data: Path, state: str) -> None:
        self.state = state
        dump = data / "tables" / f"graph_{state}.ndjson.gz"
        self.address = TableAddress("project", "instance", f"graph-{uuid.uuid4().hex[:8]}")
        restore_dump(dump, self.address)
        self.server = make_graph_server(GraphFiles(dump, data / "graphene_info.json"), "127.0.0.1", 0)
        self.parents: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.l2_ids: list[int] = []
        self.new_l2_ids: list[int] = []
        self.inner_nodes: list[int] = []
        for cell in read_dump(dump)[1]:
            if cell.qualifier == "parents":
                self.parents[int(cell.key)].append((cell.timestamp_us, int.from_bytes(cell.value, "little")))
            elif cell.qualifier == "children" and int(cell.key) >> 56 == 2:
                (self.new_l2_ids if cell.timestamp_us == MERGE_US else self.l2_ids).append(int(cell.key))
            elif cell.qualifier == "children":
                self.inner_nodes.append(int(cell.key))

    @property
    def cv_path(self) -> str:
        return f"graphene://http://127.0.0.1:{self.server.server_port}/segmentation/table/rig_graph"

    def supervoxels_by_chunk(self) -> dict[Triple, UInt64Array]:
        """All supervoxels of each chunk of the grid."""
        ids = np.array([node for node in self.parents if node >> 56 == 1], dtype=np.uint64)
        coordinates = node_coordinates(ids, 1, LAYOUT)
        grid = np.ndindex(4, 4, 8)
        return {chunk: ids[(coordinates == chunk).all(axis=1)] for chunk in grid}

    def l2_of(self, supervoxel: int, timestamp: datetime | None) -> int:
        """The L2 node of a supervoxel, by following `parents` cell by cell."""
        node = supervoxel
        while node >> 56 < 2:
            cells = [
                (written_us, parent)
                for written_us, parent in self.parents.get(node, [])
                if timestamp is None or EPOCH + timedelta(microseconds=written_us) <= timestamp
            ]
            if not cells:
                return 0
            node = max(cells)[1]
        return node if node >> 56 == 2 else 0


@pytest.fixture(scope="module", params=STATES)
def real(request: pytest.FixtureRequest, shared_data: Path, bigtable_clients: DataClients) -> Iterator[RealGraph]:
    graph = RealGraph(shared_data, request.param)
    thread = threading.Thread(target=graph.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield graph
    graph.server.shutdown()
    thread.join()
    graph.server.server_close()


@pytest.fixture(scope="module")
def chunks(real: RealGraph) -> dict[Triple, UInt64Array]:
    """Of each chunk its supervoxels in a wild order, and among them background, an unknown one and a repetition."""
    random = np.random.default_rng(4)
    asked = {}
    for chunk, supervoxels in real.supervoxels_by_chunk().items():
        unknown = compose_ids(1, np.array([chunk]), np.array([UNKNOWN_SEGMENT], dtype=np.uint64), LAYOUT)
        ids = np.concatenate([supervoxels, unknown, supervoxels[:1], np.zeros(1, dtype=np.uint64)])
        asked[chunk] = random.permutation(ids)
    return asked


@pytest.fixture(scope="module")
def registry(bigtable_clients: DataClients) -> Graphs:
    """Opens graphs as the functions do."""
    nowhere = "sqlite:///none"
    return Graphs(Settings(Path("none"), nowhere, nowhere, nowhere, graph_token=uuid.uuid4().hex))


def ids_of(l2_ids: list[int]) -> UInt64Array:
    return np.array(l2_ids, dtype=np.uint64)


def dataset(real: RealGraph, graph_table: TableAddress | None) -> Dataset:
    return Dataset("rig_graph", real.cv_path, "cache", graph_table)


@pytest.mark.parametrize("moment", ["before the graph", "a microsecond before the merge", "now"])
def test_the_nodes_that_chunks_have_at_a_moment_are_those_that_hold_their_supervoxels(
    real: RealGraph, registry: Graphs, moment: str
) -> None:
    edited = set(map(as_triple, node_coordinates(ids_of(real.new_l2_ids), 2, LAYOUT).tolist()))
    supervoxels = real.supervoxels_by_chunk()
    chunks = [(0, 0, 0), (3, 3, 7), *sorted(edited)]
    followed = [
        sorted({real.l2_of(supervoxel, MOMENTS[moment]) for supervoxel in supervoxels[chunk].tolist()} - {0})
        for chunk in chunks
    ]
    ever = ids_of(sorted([*real.l2_ids, *real.new_l2_ids]))
    ordered = [ever[part].tolist() for part in slices_of_chunks(ever, chunks, LAYOUT)]
    for graph in (registry.get(dataset(real, real.address)), registry.get(dataset(real, None))):
        assert [ids.tolist() for ids in graph.l2_ids_at(chunks, MOMENTS[moment])] == followed
        assert [ids.tolist() for ids in graph.l2_ids_ever(chunks)] == ordered


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_chunk_is_mapped_as_by_the_graph_server_and_by_following_parents(
    real: RealGraph, chunks: dict[Triple, UInt64Array], registry: Graphs, moment: str
) -> None:
    timestamp = MOMENTS[moment]
    table, server = registry.get(dataset(real, real.address)), registry.get(dataset(real, None))
    assert isinstance(table, GraphTable)
    mappings = {chunk: table.l2_of_supervoxels(ids, timestamp) for chunk, ids in chunks.items()}
    mapped = {chunk: mapping.l2_ids for chunk, mapping in mappings.items()}
    assert len(mapped) == 128
    for chunk, ids in chunks.items():
        followed = [real.l2_of(supervoxel, timestamp) for supervoxel in ids.tolist()]
        assert mapped[chunk].tolist() == followed, chunk
    everything = np.concatenate(list(chunks.values()))
    served = server.l2_of_supervoxels(everything, timestamp)
    np.testing.assert_array_equal(np.concatenate(list(mapped.values())), served.l2_ids)
    assert bool(served.l2_ids.any()) == (moment != "before the graph")
    later = np.concatenate([mapping.not_yet for mapping in mappings.values()])
    np.testing.assert_array_equal(later, served.not_yet)
    known = np.isin(everything, np.array(list(real.parents), dtype=np.uint64))
    np.testing.assert_array_equal(later, known & (moment == "before the graph"))
    assert not served.impossible.any()
    assert not any(mapping.impossible.any() for mapping in mappings.values())


def recorded_exchanges(data: Path, state: str) -> Iterator[tuple[UInt64Array, UInt64Array]]:
    """What was sent to the real graph server's `roots_binary?stop_layer=2`, and what it answered."""
    http = data / "http"
    if state == "before_merge":
        exchanges = [json.loads(line) for line in (http / "graph_server_cloudvolume.jsonl").read_text().splitlines()]
    else:
        exchanges = json.loads((http / "graph_server_requests.json").read_text())
    for exchange in exchanges:
        if exchange["request"]["path"].endswith("roots_binary?stop_layer=2"):
            yield ids_in(exchange["request"]), ids_in(exchange["response"])


def ids_in(message: dict[str, Any]) -> UInt64Array:
    body = message["body"] or {"text": ""}
    content = base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode("latin-1")
    if "gzip" in message["headers"].get("Content-Encoding", ""):
        content = gzip.decompress(content)
    return np.frombuffer(content, dtype="<u8")


def test_the_real_graph_servers_recorded_answers_are_met(real: RealGraph, registry: Graphs, shared_data: Path) -> None:
    table = registry.get(dataset(real, real.address))
    exchanges = list(recorded_exchanges(shared_data, real.state))
    for asked, answered in exchanges:
        supervoxels = asked >> 56 == 1
        expected = np.where(answered[supervoxels] >> 56 == 2, answered[supervoxels], 0)
        np.testing.assert_array_equal(table.l2_of_supervoxels(asked[supervoxels], None).l2_ids, expected)
    if real.state == "before_merge":
        assert max(len(asked) for asked, _ in exchanges) == 61_465


def test_l2_ids_of_roots_are_those_of_the_graph_server_and_of_following_parents(
    real: RealGraph, registry: Graphs
) -> None:
    table, server = registry.get(dataset(real, real.address)), registry.get(dataset(real, None))
    ancestors: dict[int, set[int]] = defaultdict(set)
    for l2_id in real.l2_ids + real.new_l2_ids:
        # of a node that was given another parent later both are ancestors: superseded roots keep their children
        above = {parent for _, parent in real.parents.get(l2_id, [])}
        while above:
            for node in above:
                ancestors[node].add(l2_id)
            above = {parent for node in above for _, parent in real.parents.get(node, [])}
    unknown = (5 << 56) | UNKNOWN_SEGMENT
    some = np.random.default_rng(3).permutation(np.array(real.inner_nodes, dtype=np.uint64))[:1_500]
    asked = np.concatenate([some, np.array([unknown], dtype=np.uint64), some[:3]])
    found, served = table.l2_ids_of_roots(asked), server.l2_ids_of_roots(asked)
    assert {root: set(ids.tolist()) for root, ids in found.l2_ids.items()} == {
        root: ancestors[root] for root in some.tolist()
    }
    assert found.l2_ids.keys() == served.l2_ids.keys() == set(some.tolist())
    for root, ids in found.l2_ids.items():
        np.testing.assert_array_equal(ids, served.l2_ids[root])
    assert found.errors == served.errors == {unknown: "the graph does not know this node"}


def test_supervoxels_of_nodes_are_those_of_the_graph_server(real: RealGraph, registry: Graphs) -> None:
    table, server = registry.get(dataset(real, real.address)), registry.get(dataset(real, None))
    unknown = compose_ids(2, np.array([(1, 1, 1)]), np.array([UNKNOWN_SEGMENT], dtype=np.uint64), LAYOUT)
    some = np.random.default_rng(2).permutation(np.array(real.l2_ids, dtype=np.uint64))[:2_500]
    asked = np.concatenate([some, unknown, some[:3], np.array(real.new_l2_ids, dtype=np.uint64)])
    found, served = table.supervoxels_of(asked), server.supervoxels_of(asked)
    assert found.keys() == served.keys() == set(asked.tolist())
    for l2_id, supervoxels in found.items():
        np.testing.assert_array_equal(supervoxels, served[l2_id])
    assert found[int(unknown[0])].size == 0
    assert len(real.new_l2_ids) == (7 if real.state == "after_merge" else 0)
    assert table.supervoxels_of(np.empty(0, dtype=np.uint64)) == {}
