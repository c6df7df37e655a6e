"""Parents in time, for whole arrays of nodes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.standin.graph.components import component_labels
from infra.standin.graph.history import History

CELLS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(1, 2**64 - 1)), max_size=30)


def history_of(cells: list[tuple[int, int, int]]) -> History:
    return History.of(
        np.array([node for node, _, _ in cells], dtype=np.uint64),
        np.array([time for _, time, _ in cells], dtype=np.int64),
        np.array([value for _, _, value in cells], dtype=np.uint64),
    )


@given(cells=CELLS, more=CELLS, nodes=st.lists(st.integers(0, 8)), time=st.none() | st.integers(-1, 10))
def test_the_newest_cell_not_later_than_the_time_counts_and_of_equals_the_last_written(
    cells: list[tuple[int, int, int]], more: list[tuple[int, int, int]], nodes: list[int], time: int | None
) -> None:
    grown = history_of(cells).with_cells(
        np.array([node for node, _, _ in more], dtype=np.uint64),
        np.array([at for _, at, _ in more], dtype=np.int64),
        np.array([value for _, _, value in more], dtype=np.uint64),
    )

    def expected(node: int) -> int:
        own = [(at, place, value) for place, (n, at, value) in enumerate(cells + more) if n == node]
        early = [cell for cell in own if time is None or cell[0] <= time]
        return max(early)[2] if early else 0

    found = grown.at(np.array(nodes, dtype=np.uint64), time)
    assert found.dtype == np.uint64
    assert found.tolist() == [expected(node) for node in nodes]


@given(data=st.data(), count=st.integers(1, 30))
def test_vertices_have_the_same_component_exactly_if_a_path_joins_them(data: st.DataObject, count: int) -> None:
    vertices = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(vertices, vertices), max_size=40))
    groups = [{vertex} for vertex in range(count)]
    for one, other in edges:
        if groups[one] is not groups[other]:
            groups[one] |= groups[other]
            for vertex in groups[other]:
                groups[vertex] = groups[one]
    first = sorted({min(group) for group in groups})
    labels = component_labels(count, np.array(edges, dtype=np.int64).reshape(-1, 2))
    assert labels.tolist() == [first.index(min(group)) for group in groups]
