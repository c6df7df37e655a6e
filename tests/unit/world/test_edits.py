"""What holds after any merges and splits of a made world, and of the real graph."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.components import component_labels
from infra.standin.graph.edges import neuron_edges
from infra.standin.graph.editor import GraphEditor
from infra.standin.graph.edits import Edit, EditRefusedError
from infra.standin.graph.server import GraphFiles, load
from infra.standin.world.build import build
from infra.standin.world.parameters import WorldParameters
from shared.geometry.ids import layers, node_coordinates
from shared.types import UInt64Array
from tests.support.graph.servers import DATA, needs_data

MADE_MS = 1_767_225_600_000


@dataclass(frozen=True)
class Place:
    """A made world that nobody edits, and fresh graphs of it in memory."""

    folder: Path
    description: dict[str, Any]

    def open(self) -> tuple[ChunkedGraph, GraphEditor, UInt64Array]:
        files = GraphFiles.of_world(self.folder)
        _, graph, editor = load(GraphFiles(files.dump, files.info, edges=files.edges))
        supervoxels = np.unique(np.concatenate([r.children for n, r in graph.rows.items() if n >> 56 == 2]))
        return graph, editor, supervoxels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("world")
    description = build(folder, WorldParameters((80, 75, 70), (32, 32, 32), seed=3))
    return Place(folder, description)


def ids(*values: int) -> UInt64Array:
    return np.array(values, dtype=np.uint64)


def edges_of_world(place: Place) -> UInt64Array:
    return np.asarray(np.load(GraphFiles.of_world(place.folder).edges))


def check_tree(graph: ChunkedGraph, supervoxels: UInt64Array) -> None:
    """Every supervoxel hangs on one root, through nodes whose chunks contain each other."""
    nodes = supervoxels
    roots = graph.roots(supervoxels)
    for root in np.unique(roots).tolist():
        np.testing.assert_array_equal(np.sort(graph.leaves(root)), supervoxels[roots == root])
    while (nodes := nodes[layers(nodes, graph.layout) < graph.root_layer]).size:
        parents = graph.parents(nodes)
        for node, parent in zip(nodes.tolist(), parents.tolist(), strict=True):
            low, high = node >> 56, parent >> 56
            assert high > low
            assert node in graph.children(parent).tolist()
            below = node_coordinates(ids(node), low, graph.layout) >> (high - max(low, 2))
            np.testing.assert_array_equal(below, node_coordinates(ids(parent), high, graph.layout))
        nodes = np.unique(parents)


def check_connected(graph: ChunkedGraph, root: int, inside_chunks: UInt64Array) -> None:
    """The supervoxels of every node below a root hang together by edges among themselves."""
    neuron = neuron_edges(graph, root, inside_chunks)
    for node in {root, *np.unique(neuron.l2_ids).tolist(), *graph.children(root).tolist()}:
        own = np.isin(neuron.supervoxels, graph.leaves(node))
        place = np.cumsum(own) - 1
        links = neuron.indices(neuron.edges)
        links = links[own[links].all(axis=1)]
        assert component_labels(int(own.sum()), place[links]).max() == 0


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_edits_leave_a_tree_with_the_wanted_partition_and_the_past_as_it_was(
    place: Place, steps: list[tuple[bool, int, int]]
) -> None:
    graph, editor, supervoxels = place.open()
    inside = edges_of_world(place)
    known, made_roots = set(graph.rows), graph.roots(supervoxels)
    past: list[tuple[int, UInt64Array]] = [(MADE_MS, made_roots)]
    for wants_merge, one, other in steps:
        roots = graph.roots(supervoxels)
        a = supervoxels[one % supervoxels.size]
        same = roots == graph.roots(ids(a))[0]
        candidates = supervoxels[~same] if wants_merge else supervoxels[same & (supervoxels != a)]
        if not candidates.size:
            continue
        b = candidates[other % candidates.size]
        edit = editor.merge(ids(a, b)) if wants_merge else editor.split(ids(a), ids(b))
        after = graph.roots(supervoxels)
        changed = np.isin(roots, ids(*edit.old_root_ids))
        np.testing.assert_array_equal(after[~changed], roots[~changed])
        assert set(after[changed].tolist()) == set(edit.new_root_ids)
        of_a, of_b = graph.roots(ids(a, b)).tolist()
        assert (of_a == of_b) == wants_merge
        assert (len(edit.old_root_ids), len(edit.new_root_ids)) == ((2, 1) if wants_merge else (1, 2))
        check_tree(graph, supervoxels)
        for root in edit.new_root_ids:
            check_connected(graph, root, inside)
        fresh = set(graph.rows) - known
        assert fresh >= {*edit.new_lvl2_ids, *edit.new_root_ids}
        assert {node for node in fresh if node >> 56 == 2} == set(edit.new_lvl2_ids)
        known |= fresh
        past.append((graph.rows[edit.new_root_ids[0]].time_ms, after))
    for time_ms, roots in past:
        np.testing.assert_array_equal(graph.roots(supervoxels, time_ms=time_ms), roots)


def merge_examples(place: Place, crossing: bool) -> list[list[list[int]]]:
    return [m for m in place.description["merges"] if (m[0][0] >> 26 != m[1][0] >> 26) == crossing]


def test_a_merge_within_a_chunk_makes_one_l2_node_of_the_two(place: Place) -> None:
    graph, editor, _ = place.open()
    a, b = (point[0] for point in merge_examples(place, crossing=False)[0])
    old = graph.parents(ids(a, b)).tolist()
    edit = editor.merge(ids(a, b))
    (new,) = edit.new_lvl2_ids
    assert sorted(graph.children(new).tolist()) == sorted(np.concatenate([graph.children(n) for n in old]).tolist())
    assert graph.parents(ids(a, b)).tolist() == [new, new]
    assert graph.parents(ids(a, b), MADE_MS).tolist() == old


def test_a_merge_across_a_border_makes_a_new_l2_node_on_both_sides_of_the_same_supervoxels(place: Place) -> None:
    graph, editor, _ = place.open()
    a, b = (point[0] for point in merge_examples(place, crossing=True)[0])
    old = graph.parents(ids(a, b)).tolist()
    edit = editor.merge(ids(a, b))
    assert len(edit.new_lvl2_ids) == 2
    for supervoxel, before in zip((a, b), old, strict=True):
        after = int(graph.parents(ids(supervoxel))[0])
        assert after in edit.new_lvl2_ids
        np.testing.assert_array_equal(graph.children(after), graph.children(before))
    assert sorted(graph.parents(ids(a, b)).tolist()) in graph.lvl2_edges(edit.new_root_ids[0]).tolist()


def test_l2_nodes_keep_their_supervoxels_and_superseded_ones_stay_in_their_chunk_before_the_later(place: Place) -> None:
    graph, editor, _ = place.open()
    a, b = (point[0] for point in merge_examples(place, crossing=False)[0])
    old = int(graph.parents(ids(a))[0])
    before = graph.l2_chunk_children(old)
    (new,) = editor.merge(ids(a, b)).new_lvl2_ids
    after = graph.l2_chunk_children(old)
    np.testing.assert_array_equal(after[: len(before)], before)
    assert set(after[len(before) :, 0].tolist()) == {new}
    np.testing.assert_array_equal(graph.l2_chunk_children(old, MADE_MS), before)


def test_all_suggested_merges_and_splits_are_possible_one_after_another(place: Place) -> None:
    graph, editor, supervoxels = place.open()
    assert place.description["merges"]
    assert place.description["splits"]
    for split in place.description["splits"]:
        editor.split(*(ids(*(point[0] for point in split[side])) for side in ("sources", "sinks")))
    check_tree(graph, supervoxels)
    graph, editor, supervoxels = place.open()
    for merge in place.description["merges"]:
        editor.merge(ids(*(point[0] for point in merge)))
    check_tree(graph, supervoxels)


def test_a_split_undoes_a_merge_at_the_merged_edge(place: Place) -> None:
    graph, editor, supervoxels = place.open()
    a, b = (point[0] for point in merge_examples(place, crossing=True)[0])
    editor.merge(ids(a, b))
    edit = editor.split(ids(a), ids(b))
    assert len(edit.new_root_ids) == 2
    assert graph.roots(ids(a))[0] != graph.roots(ids(b))[0]
    check_tree(graph, supervoxels)


def refusals(place: Place, graph: ChunkedGraph) -> list[tuple[Callable[[GraphEditor], Edit], str]]:
    a, b = (point[0] for point in merge_examples(place, crossing=False)[0])
    mate = int(next(sv for sv in graph.leaves(int(graph.roots(ids(a))[0])).tolist() if sv != a))
    return [
        (lambda e: e.merge(ids(a)), "two supervoxels"),
        (lambda e: e.merge(ids(a, mate)), "same root"),
        (lambda e: e.merge(ids(a, 0)), "not a supervoxel of the graph: 0"),
        (lambda e: e.merge(ids(a, int(graph.parents(ids(b))[0]))), "not a supervoxel"),
        (lambda e: e.split(ids(a), ids(b)), "different roots"),
        (lambda e: e.split(ids(a), ids(a)), "none of them both"),
        (lambda e: e.split(ids(a), ids()), "sources and sinks"),
    ]


def test_impossible_edits_are_refused_with_a_reason_and_change_nothing(place: Place) -> None:
    graph, editor, supervoxels = place.open()
    rows, roots = set(graph.rows), graph.roots(supervoxels)
    for attempt, reason in refusals(place, graph):
        with pytest.raises(EditRefusedError, match=reason):
            attempt(editor)
    assert set(graph.rows) == rows
    np.testing.assert_array_equal(graph.roots(supervoxels), roots)


def test_a_split_that_leaves_more_than_two_parts_is_refused(place: Place) -> None:
    graph, editor, _ = place.open()
    neuron = neuron_edges(graph, place.description["roots"][0]["root_id"], edges_of_world(place))
    links = neuron.indices(neuron.edges)
    for middle in range(neuron.supervoxels.size):
        rest = links[(links != middle).all(axis=1)]
        labels = component_labels(neuron.supervoxels.size, rest)
        neighbours = np.setdiff1d(links[(links == middle).any(axis=1)], [middle])
        if len(set(labels[neighbours].tolist())) > 1:
            break
    else:
        pytest.fail("the neuron has no supervoxel whose loss would part it")
    sources = [neighbours[np.argmin(labels[neighbours])], neighbours[np.argmax(labels[neighbours])]]
    with pytest.raises(EditRefusedError, match="exactly two parts"):
        editor.split(neuron.supervoxels[sources], neuron.supervoxels[[middle]])


@needs_data
def test_the_real_graph_with_branches_that_skip_layers_can_be_edited() -> None:
    tables = DATA / "tables"
    files = GraphFiles(tables / "graph_before_merge.ndjson.gz", DATA / "graphene_info.json", str(DATA / "watershed"))
    _, graph, editor = load(files)
    supervoxels = np.unique(np.concatenate([r.children for n, r in graph.rows.items() if n >> 56 == 2]))
    before = graph.roots(supervoxels)
    a, b = 72057594239254531, 72057594239254537
    merge = editor.merge(ids(a, b))
    assert set(merge.old_root_ids) == {360287970189723227, 360287970189703429}
    expected = np.where(np.isin(before, ids(*merge.old_root_ids)), ids(*merge.new_root_ids), before)
    np.testing.assert_array_equal(graph.roots(supervoxels), expected)
    split = editor.split(ids(a), ids(b))
    assert split.old_root_ids == merge.new_root_ids
    check_tree(graph, supervoxels[expected == merge.new_root_ids[0]])


@needs_data
def test_the_message_of_an_edit_is_pickled_as_the_graph_server_does() -> None:
    (message,) = orjson.loads((DATA / "messages" / "edit_merge.json").read_bytes())
    told = message["data_unpickled"]
    edit = Edit(
        told["operation_id"],
        *(tuple(told[name]) for name in ("new_lvl2_ids", "new_root_ids", "old_root_ids")),
        cells=(),
    )
    assert edit.message_data() == base64.b64decode(message["data_base64"])
