"""The graph's own Bigtable table, read in the emulator: tables made for the odd cases, and what can go wrong."""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.local.free_port import free_port
from infra.standin.bigtable_dump import create_table, write_cells
from infra.standin.graph.table import FAMILIES, Cell, encode_ids, row_key
from shared.errors import ConfigurationError, GraphResponseError, GraphUnavailableError
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout, compose_ids, l2_id_range
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.clients import DataClients
from shared.graph.bigtable import GraphTable
from shared.types import Triple

LAYOUT = IdLayout(8, ((1, 10), (2, 10), (3, 2), (4, 1), (5, 1)))
GEOMETRY = GraphGeometry(LAYOUT, (128, 128, 64), (0, 0, 0), (128_000, 128_000, 64_000), (16.0, 16.0, 40.0), 0, "none")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def made_table(bigtable_clients: DataClients) -> TableAddress:
    """An empty graph table."""
    address = TableAddress("project", "instance", f"made-{uuid.uuid4().hex[:8]}")
    create_table(address, FAMILIES)
    return address


@pytest.fixture(scope="module")
def made_graph(made_table: TableAddress, bigtable_clients: DataClients) -> GraphTable:
    return GraphTable(made_table, lambda: GEOMETRY, bigtable_clients)


UNUSED_CHUNKS = ((number % 1000, 7, number // 1000) for number in count())


def node(layer: int, chunk: Triple, segment: int) -> int:
    return int(compose_ids(layer, np.array([chunk]), np.array([segment], dtype=np.uint64), LAYOUT)[0])


def children_cell(l2_id: int, time_ms: int, supervoxels: list[int], compressed: bool = True) -> Cell:
    ids = np.array(supervoxels, dtype="<u8")
    return Cell(row_key(l2_id), "0", "children", time_ms * 1000, encode_ids(ids) if compressed else ids.tobytes())


def at_ms(time_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time_ms)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, dict[int, int]]]:
    """Edits of a chunk of up to eight supervoxels: (milliseconds, {supervoxel's number: group}), in order of time.

    An edit takes all supervoxels of its groups from the nodes that held them; the first one makes the graph.
    """
    numbers = st.integers(1, draw(st.integers(1, 8)))
    edits = draw(st.lists(st.tuples(st.integers(1, 6), st.dictionaries(numbers, st.integers(0, 3))), max_size=6))
    return sorted(edits, key=lambda edit: edit[0])


@settings(max_examples=60, deadline=None)
@given(edits=histories(), compressed=st.booleans())
@example(edits=[(1, {1: 0, 2: 0}), (1, {1: 0}), (5, {1: 1, 2: 1})], compressed=True)
def test_any_history_of_merges_and_splits_is_read_as_its_parents_say(
    made_table: TableAddress, made_graph: GraphTable, edits: list[tuple[int, dict[int, int]]], compressed: bool
) -> None:
    chunk = next(UNUSED_CHUNKS)
    parents: dict[int, list[tuple[int, int]]] = defaultdict(list)
    cells, segment = [], 0
    for time_ms, groups in edits:
        for group in sorted(set(groups.values())):
            members = [node(1, chunk, number) for number, its_group in groups.items() if its_group == group]
            l2_id = node(2, chunk, segment)
            segment += 1
            cells.append(children_cell(l2_id, time_ms, members, compressed))
            for supervoxel in members:
                parents[supervoxel].append((time_ms, l2_id))
    write_cells(made_table, cells)
    asked = [node(1, chunk, number) for number in range(10)]
    for time_ms in [*range(8), None]:
        expected = [
            max((cell for cell in parents[supervoxel] if time_ms is None or cell[0] <= time_ms), default=(0, 0))[1]
            for supervoxel in asked
        ]
        timestamp = None if time_ms is None else at_ms(time_ms)
        mapped = made_graph.l2_of_supervoxels(np.array(asked, dtype=np.uint64), timestamp).l2_ids
        assert mapped.tolist() == expected


def test_only_the_nodes_of_the_supervoxels_own_chunk_are_read_from_its_first_to_its_last_id(
    made_table: TableAddress, made_graph: GraphTable
) -> None:
    chunk, neighbours = (5, 5, 5), [(5, 5, 4), (5, 5, 6)]
    first, last = l2_id_range(chunk, LAYOUT)
    low, high = node(1, chunk, 1), node(1, chunk, 2)
    strangers = [edge for neighbour in neighbours for edge in l2_id_range(neighbour, LAYOUT)]
    cells = [children_cell(first, 10, [low]), children_cell(last, 10, [high])]
    write_cells(made_table, cells + [children_cell(stranger, 20, [low, high]) for stranger in strangers])
    assert made_graph.l2_of_supervoxels(np.array([low, high], dtype=np.uint64), None).l2_ids.tolist() == [first, last]


def test_supervoxels_of_several_chunks_and_ids_that_are_none_are_mapped_at_once(
    made_table: TableAddress, made_graph: GraphTable
) -> None:
    owners = {node(1, (x, 6, 6), 9): node(2, (x, 6, 6), x) for x in (1, 2, 3)}
    write_cells(made_table, [children_cell(l2_id, 10, [supervoxel]) for supervoxel, l2_id in owners.items()])
    outside, of_another_layer = node(1, (1001, 6, 6), 1), next(iter(owners.values()))
    asked = np.array([*owners, 0, outside, of_another_layer, 2**64 - 1], dtype=np.uint64)
    assert made_graph.l2_of_supervoxels(asked, None).l2_ids.tolist() == [*owners.values(), 0, 0, 0, 0]
    assert made_graph.l2_of_supervoxels(asked[:0], None).l2_ids.tolist() == []
    assert not made_graph.l2_of_supervoxels(asked, at_ms(-1)).l2_ids.any()


def test_a_supervoxel_whose_parent_is_above_layer_2_belongs_to_no_l2_node(
    made_table: TableAddress, made_graph: GraphTable
) -> None:
    chunk = (8, 8, 8)
    odd, usual = node(1, chunk, 1), node(1, chunk, 2)
    above, l2_id = node(3, (0, 0, 0), 1), node(2, chunk, 1)
    parent = Cell(row_key(odd), "0", "parents", 10_000, above.to_bytes(8, "little"))
    write_cells(made_table, [parent, children_cell(above, 10, [odd]), children_cell(l2_id, 10, [usual])])
    assert made_graph.l2_of_supervoxels(np.array([odd, usual], dtype=np.uint64), None).l2_ids.tolist() == [0, l2_id]


def test_what_has_a_node_only_later_is_told_apart_from_what_never_has_one(
    made_table: TableAddress, made_graph: GraphTable
) -> None:
    early, late, never = next(UNUSED_CHUNKS), next(UNUSED_CHUNKS), next(UNUSED_CHUNKS)
    asked = [node(1, chunk, number) for chunk in (early, late, never) for number in (1, 2)]
    cells = [
        children_cell(node(2, early, 1), 10, asked[:1]),
        children_cell(node(2, late, 1), 20, asked[2:3]),
        children_cell(node(2, early, 2), 30, asked[1:2]),
    ]
    write_cells(made_table, cells)

    def not_yet(timestamp: datetime | None) -> list[bool]:
        return made_graph.l2_of_supervoxels(np.array([*asked, 0], dtype=np.uint64), timestamp).not_yet.tolist()

    assert not_yet(at_ms(-1)) == not_yet(at_ms(9)) == [True, True, True, False, False, False, False]
    # Chunks that have nodes are not before the graph, whatever edits bring.
    assert not_yet(at_ms(10)) == [False, False, True, False, False, False, False]
    assert not any(not_yet(at_ms(20)))
    assert not any(not_yet(None))


@pytest.mark.parametrize(
    "stranger", [node(1, (9, 9, 8), 1), node(2, (9, 9, 9), 8), node(3, (2, 2, 2), 1), 12345, 2**64 - 1]
)
def test_a_node_of_what_is_no_supervoxel_of_its_chunk_is_a_fault_of_the_graph(
    made_table: TableAddress, made_graph: GraphTable, stranger: int
) -> None:
    wrong, right = node(2, (9, 9, 9), 1), node(2, (9, 9, 9), 2)
    own = [node(1, (9, 9, 9), number) for number in (1, 2)]
    write_cells(made_table, [children_cell(wrong, 10, [own[0], stranger]), children_cell(right, 10, [own[1]])])
    with pytest.raises(GraphUnavailableError, match=f"node {wrong} .*{stranger} "):
        made_graph.supervoxels_of(np.array([right, wrong], dtype=np.uint64))
    found = made_graph.supervoxels_of(np.array([right], dtype=np.uint64))
    assert {l2_id: members.tolist() for l2_id, members in found.items()} == {right: own[1:]}


def test_a_question_for_nodes_ends_with_the_time_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    clients = DataClients()
    graph = GraphTable(TableAddress("project", "instance", "away"), lambda: GEOMETRY, clients, 600.0, 600.0)
    with pytest.raises(GraphUnavailableError, match="away"):
        graph.supervoxels_of(np.array([node(2, (0, 0, 0), 1)], dtype=np.uint64), within_s=0.2)
    clients.close()


@pytest.mark.parametrize("value", [b"1234567", b"\x28\xb5\x2f\xfd and no frame"])
def test_children_that_cannot_be_read_are_a_lasting_error_that_names_the_node(
    made_table: TableAddress, made_graph: GraphTable, value: bytes
) -> None:
    chunk = next(UNUSED_CHUNKS)
    l2_id = node(2, chunk, 3)
    write_cells(made_table, [Cell(row_key(l2_id), "0", "children", 10_000, value)])
    with pytest.raises(GraphResponseError, match=str(l2_id)):
        made_graph.l2_of_supervoxels(np.array([node(1, chunk, 1)], dtype=np.uint64), None)
    with pytest.raises(GraphResponseError, match=str(l2_id)):
        made_graph.supervoxels_of(np.array([l2_id], dtype=np.uint64))


def test_a_table_that_does_not_exist_is_an_error_of_configuration(bigtable_clients: DataClients) -> None:
    graph = GraphTable(TableAddress("project", "instance", "absent"), lambda: GEOMETRY, bigtable_clients)
    with pytest.raises(ConfigurationError, match=r"graph_table.*absent"):
        graph.supervoxels_of(np.array([node(2, (0, 0, 0), 1)], dtype=np.uint64))


def test_a_bigtable_that_is_away_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    clients = DataClients()
    graph = GraphTable(TableAddress("project", "instance", "away"), lambda: GEOMETRY, clients, 0.2, 0.4)
    with pytest.raises(GraphUnavailableError, match="away"):
        graph.l2_of_supervoxels(np.array([node(1, (0, 0, 0), 1)], dtype=np.uint64), None)
    clients.close()


def test_without_credentials_the_graph_is_away_until_an_operator_gives_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BIGTABLE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    graph = GraphTable(TableAddress("project", "instance", "closed"), lambda: GEOMETRY, DataClients())
    with pytest.raises(GraphUnavailableError, match="DefaultCredentialsError"):
        graph.l2_of_supervoxels(np.array([node(1, (0, 0, 0), 1)], dtype=np.uint64), None)
