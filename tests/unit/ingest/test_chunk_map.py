"""Maps of a run's chunks, against counting them one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.geometry.grid import Box
from shared.ingest.blocks import block_name, children, chunk_at
from shared.ingest.control.chunk_map import AXES, SEEN, Projection, map_chunks
from shared.ingest.progress import Piece
from shared.ingest.run import Run

RETRIED = 1
"""What failed before this generation is open again."""


def run_of(block: Box, leaf_chunks: int) -> Run:
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    return Run("graph", "table", moment, block, leaf_chunks, 0.0, generation=2, retry_from=RETRIED)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, dict[str, list[Piece]]]:
    start = draw(st.tuples(*[st.integers(0, 5)] * 3))
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    block = Box(start, tuple(low + size for low, size in zip(start, shape, strict=True)))
    run = run_of(block, draw(st.integers(1, 12)))
    pieces: dict[str, list[Piece]] = {}
    for leaf in children(block, run.leaf_chunks, fan_out=10**6):
        for _ in range(draw(st.integers(0, 2))):
            first = draw(st.integers(0, leaf.volume - 1))
            stop = draw(st.integers(first + 1, leaf.volume))
            failed = draw(st.sets(st.integers(first, stop - 1), max_size=2))
            piece = Piece(first, stop, 1, 1.0, 1.0, draw(st.integers(0, 2)), failed=dict.fromkeys(failed, "odd"))
            pieces.setdefault(block_name(leaf), []).append(piece)
    return run, pieces


def counted(run: Run, pieces: dict[str, list[Piece]]) -> dict[str, np.ndarray]:
    """For each chunk of the run's box whether it is done and whether it failed."""
    done, failed = (np.zeros(run.block.shape, dtype=np.int64) for _ in range(2))
    for leaf in children(run.block, run.leaf_chunks, fan_out=10**6):
        of_leaf = pieces.get(block_name(leaf), [])
        for number in range(leaf.volume):
            place = tuple(c - low for c, low in zip(chunk_at(leaf, number), run.block.start, strict=True))
            on = [piece for piece in of_leaf if piece.first <= number < piece.stop]
            done[place] = any(number not in piece.failed for piece in on)
            lasting = any(number in piece.failed and piece.generation >= RETRIED for piece in on)
            failed[place] = lasting and not done[place]
    return {"done": done, "failed": failed, "open": 1 - done - failed}


def projected(chunks: np.ndarray, axis: str, cell_chunks: tuple[int, ...], cells: tuple[int, ...]) -> np.ndarray:
    sums = np.zeros(cells, dtype=np.int64)
    for place in product(*map(range, chunks.shape)):
        sums[tuple(c // size for c, size in zip(place, cell_chunks, strict=True))] += chunks[place]
    seen = sums.sum(axis=AXES.index(axis))
    assert SEEN[axis] == tuple(other for other in AXES if other != axis)
    return seen.T


@settings(max_examples=60, deadline=None, database=None)
@given(runs(), st.integers(1, 8))
def test_every_cell_counts_the_chunks_behind_it(drawn: tuple[Run, dict[str, list[Piece]]], most_cells: int) -> None:
    run, pieces = drawn
    found = map_chunks(run, pieces, most_cells)
    assert max(found.cells) <= most_cells
    for name, chunks in counted(run, pieces).items():
        for axis, seen in found.along.items():
            expected = projected(chunks, axis, found.cell_chunks, found.cells)
            np.testing.assert_array_equal(getattr(seen, name), expected, f"{name} along {axis}")


def test_missing_rows_of_an_audit_are_spread_over_their_block() -> None:
    run = run_of(Box((0, 0, 0), (4, 2, 1)), 4)
    counts = {"rows": 90, "missing": 10, "repaired": 2}
    low, high = (block_name(leaf) for leaf in children(run.block, 4))
    found = map_chunks(
        run, {low: [Piece(0, 4, 0, 1.0, 1.0, counts=counts)], high: [Piece(0, 2, 0, 1.0, 1.0, counts=counts)]}, 2
    )
    seen: Projection = found.along["z"]
    assert (found.cell_chunks, found.cells) == ((2, 1, 1), (2, 2, 1))
    assert seen.missing.tolist() == [[4.0, 4.0], [4.0, 4.0]]
    assert [seen.done.tolist(), seen.open.tolist()] == [[[2, 1], [2, 1]], [[0, 1], [0, 1]]]


@pytest.mark.parametrize("most_cells", [1, 256])
def test_ten_million_chunks_of_whole_blocks_are_all_there(most_cells: int) -> None:
    run = run_of(Box((0, 0, 0), (752, 512, 26)), 256)
    leaves = children(run.block, 2**14, fan_out=10**9)
    pieces = {block_name(leaf): [Piece(0, leaf.volume, 1, 1.0, 1.0)] for leaf in leaves[1:]}
    found = map_chunks(run, pieces, most_cells)
    for seen in found.along.values():
        assert seen.open.sum() == leaves[0].volume
        assert seen.done.sum() == run.block.volume - leaves[0].volume
        assert (seen.open >= 0).all()
