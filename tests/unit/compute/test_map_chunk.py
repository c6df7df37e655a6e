"""When graph and volume disagree about a chunk."""

from __future__ import annotations

import numpy as np
import pytest

from shared.compute.chunk import LoadedChunk, MappedChunk
from shared.compute.mapping import map_chunk
from shared.errors import GraphDisagreementError, TransientError
from shared.features.api import supervoxel_runs
from shared.graph.protocol import L2Mapping
from shared.types import BoolArray, UInt64Array
from tests.support.graph.small import GEOMETRY, GRAPH_ID, node_id

A, B = (0, 0, 0), (1, 0, 0)
OWN, OTHERS = node_id(2, A, 1), node_id(2, B, 1)


def chunk_of(count: int) -> LoadedChunk:
    """A chunk of so many supervoxels, one voxel each."""
    ids = [node_id(1, A, segment) for segment in range(1, count + 1)]
    return LoadedChunk.from_runs(A, supervoxel_runs(np.array(ids, dtype=np.uint64).reshape(-1, 1, 1)))


def ids(*parts: tuple[int, int]) -> UInt64Array:
    """An id so many times, another so many times, ..."""
    return np.repeat(np.array([l2_id for l2_id, _ in parts], dtype=np.uint64), [count for _, count in parts])


def mapped(
    l2_ids: UInt64Array, impossible: BoolArray | None = None, not_yet: BoolArray | None = None
) -> MappedChunk | GraphDisagreementError:
    none = np.zeros(l2_ids.size, dtype=np.bool_)
    mapping = L2Mapping(l2_ids, none if impossible is None else impossible, none if not_yet is None else not_yet)
    return map_chunk(GRAPH_ID, chunk_of(l2_ids.size), mapping, GEOMETRY.layout)


def first(count: int, total: int) -> BoolArray:
    return np.arange(total) < count


@pytest.mark.parametrize(("total", "allowed"), [(11, 10), (500, 10), (1000, 10), (2000, 20), (5000, 50)])
def test_a_small_share_of_a_chunk_may_belong_to_others_and_is_counted(total: int, allowed: int) -> None:
    within = mapped(ids((OTHERS, allowed), (OWN, total - allowed)))
    assert isinstance(within, MappedChunk)
    assert within.n_foreign == allowed
    np.testing.assert_array_equal(within.nodes, ids((0, allowed), (OWN, total - allowed)))
    beyond = mapped(ids((OTHERS, allowed + 1), (OWN, total - allowed - 1)))
    assert isinstance(beyond, GraphDisagreementError)
    assert f"{allowed + 1} of the chunk's {total} supervoxels to other chunks" in str(beyond)


def test_what_is_no_node_counts_as_another_chunks() -> None:
    few = mapped(ids((0, 4), (OTHERS, 3), (OWN, 20)), impossible=first(4, 27))
    assert isinstance(few, MappedChunk)
    assert few.n_foreign == 7
    many = mapped(ids((0, 9), (OTHERS, 3), (OWN, 20)), impossible=first(9, 32))
    assert "12 of the chunk's 32" in str(many)


@pytest.mark.parametrize("total", [1, 10])
def test_a_handful_of_supervoxels_may_have_no_node(total: int) -> None:
    chunk = mapped(ids((0, total)))
    assert isinstance(chunk, MappedChunk)
    assert not chunk.nodes.any()


@pytest.mark.parametrize("total", [11, 3000])
def test_a_chunk_none_of_whose_supervoxels_has_a_node_is_an_error(total: int) -> None:
    chunk = mapped(ids((0, total)))
    assert isinstance(chunk, GraphDisagreementError)
    assert f"none of the chunk's {total} supervoxels" in str(chunk)


def test_a_chunk_whose_few_nodes_are_all_of_others_is_an_error_too() -> None:
    assert "none of the chunk's 15" in str(mapped(ids((0, 10), (OTHERS, 5))))


def test_before_the_graph_a_chunk_has_no_nodes_and_that_is_right() -> None:
    chunk = mapped(ids((0, 100)), not_yet=first(90, 100))
    assert isinstance(chunk, MappedChunk)
    assert (int(chunk.nodes.sum()), chunk.n_foreign) == (0, 0)


def test_one_node_is_enough() -> None:
    assert isinstance(mapped(ids((0, 3000), (OWN, 1))), MappedChunk)


def test_a_disagreement_is_worth_another_try() -> None:
    assert issubclass(GraphDisagreementError, TransientError)


def test_parts_of_a_mapping_are_those_of_the_chunks_it_was_asked_for() -> None:
    mapping = L2Mapping(ids((1, 2), (2, 1), (3, 3)), first(1, 6), first(3, 6))
    parts = mapping.parts([2, 0, 1, 3])
    assert [part.l2_ids.tolist() for part in parts] == [[1, 1], [], [2], [3, 3, 3]]
    assert [part.impossible.tolist() for part in parts] == [[True, False], [], [False], [False] * 3]
    assert [part.not_yet.tolist() for part in parts] == [[True, True], [], [True], [False] * 3]
