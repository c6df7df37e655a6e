from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BadRequestError
from shared.geometry.grid import Box, as_triple
from shared.ingest.blocks import FAN_OUT, block_name, children, chunk_at, chunks, is_cut_into, leaf_size, parse_block
from shared.ingest.blocks import leaves as all_leaves
from shared.ingest.control.plan import TaskCounts, task_counts
from shared.ingest.run import Run
from shared.types import Triple

sizes = st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14))
starts = st.tuples(st.integers(0, 700), st.integers(0, 700), st.integers(0, 700))
files = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    (x, y, z), (a, b, c) = draw(starts), draw(sizes)
    return Box((x, y, z), (x + a, y + b, z + c))


def leaves(block: Box, leaf_chunks: int, chunks_per_file: Triple = (1, 1, 1), fan_out: int = 4) -> list[Box]:
    if block.volume <= leaf_chunks:
        return [block]
    below = children(block, leaf_chunks, chunks_per_file, fan_out)
    return [leaf for child in below for leaf in leaves(child, leaf_chunks, chunks_per_file, fan_out)]


@settings(deadline=None, max_examples=60)
@given(boxes(), st.integers(1, 40), files)
def test_the_leaves_of_a_block_hold_each_of_its_chunks_once(
    block: Box, leaf_chunks: int, chunks_per_file: Triple
) -> None:
    blocks = leaves(block, leaf_chunks, chunks_per_file)
    found = [chunk for leaf in blocks for chunk in chunks(leaf)]
    assert all(leaf.volume <= leaf_chunks for leaf in blocks)
    assert len(found) == block.volume
    assert set(found) == set(chunks(block))
    assert list(all_leaves(block, leaf_chunks, chunks_per_file)) == blocks


@settings(deadline=None, max_examples=60)
@given(boxes(), st.integers(1, 40), files, boxes())
def test_a_block_is_cut_into_its_tree_and_nothing_else(
    block: Box, leaf_chunks: int, chunks_per_file: Triple, other: Box
) -> None:
    leaf_blocks = leaves(block, leaf_chunks, chunks_per_file)
    below = children(block, leaf_chunks, chunks_per_file)
    assert all(is_cut_into(block, part, leaf_chunks, chunks_per_file) for part in [block, *below, *leaf_blocks])
    small = [Box(leaf.start, as_triple(s + 1 for s in leaf.start)) for leaf in leaf_blocks]
    for part in {*small, other}.difference(leaf_blocks):
        assert part.volume > leaf_chunks or not is_cut_into(block, part, leaf_chunks, chunks_per_file)


@settings(deadline=None)
@given(boxes(), st.integers(1, 40), files)
def test_no_block_is_smaller_than_a_third_of_what_is_allowed(
    block: Box, leaf_chunks: int, chunks_per_file: Triple
) -> None:
    parts = children(block, leaf_chunks, chunks_per_file)
    assert len(parts) <= 3 * FAN_OUT
    if len(parts) > 1:
        assert all(3 * part.volume >= leaf_chunks for part in parts)


@settings(deadline=None)
@given(st.tuples(st.integers(1, 752), st.integers(1, 512), st.integers(1, 64)), st.integers(1, 600), files)
def test_a_tree_has_few_expand_tasks(shape: Triple, leaf_chunks: int, chunks_per_file: Triple) -> None:
    run = Run(
        "graph", "table", datetime(2026, 6, 1, tzinfo=UTC), Box((0, 0, 0), shape), leaf_chunks, 0.0, chunks_per_file
    )
    tasks = task_counts(run)
    assert sum(tasks.expand) <= 1 + 0.02 * tasks.leaves


def test_the_counted_tasks_are_those_that_expanding_makes() -> None:
    run = Run("graph", "table", datetime(2026, 6, 1, tzinfo=UTC), Box((3, 5, 0), (60, 45, 26)), 5, 0.0, (4, 4, 2))
    level, found = [run.block], []
    while level:
        found.append(sum(block.volume > run.leaf_chunks for block in level))
        level = [child for block in level if block.volume > 5 for child in children(block, 5, run.chunks_per_file)]
    n_leaves = len(leaves(run.block, 5, run.chunks_per_file, FAN_OUT))
    assert task_counts(run) == TaskCounts(tuple(number for number in found if number), n_leaves)


def test_cuts_go_between_files_where_they_can() -> None:
    chunks_per_file = (8, 4, 1)
    for leaf in leaves(Box((0, 0, 0), (64, 64, 8)), 8 * 4 * 8, chunks_per_file, 256):
        assert all(start % size == 0 for start, size in zip(leaf.start, chunks_per_file, strict=True))


def test_a_file_larger_than_a_leaf_is_not_shared_by_more_leaves_than_it_needs() -> None:
    chunks_per_file = (16, 16, 16)
    blocks = leaves(Box((0, 0, 0), (32, 32, 32)), 512, chunks_per_file, 256)
    assert len(blocks) == 32**3 // 512
    files = [tuple(start // size for start, size in zip(leaf.start, chunks_per_file, strict=True)) for leaf in blocks]
    ends = [tuple((stop - 1) // size for stop, size in zip(leaf.stop, chunks_per_file, strict=True)) for leaf in blocks]
    assert files == ends


@given(st.integers(1, 10**8), st.integers(1, 2000), st.floats(0.001, 100.0))
def test_a_leaf_is_no_larger_than_allowed_and_not_so_small_that_marks_pile_up(
    n_chunks: int, most: int, chunk_s: float
) -> None:
    size = leaf_size(n_chunks, most, chunk_s)
    assert 1 <= size <= most
    assert size == most or n_chunks <= 16384 * (size + 1)
    assert size == 1 or n_chunks >= 32 * size


@settings(deadline=None, max_examples=30)
@given(boxes())
def test_chunks_are_numbered_in_their_order(block: Box) -> None:
    assert [chunk_at(block, number) for number in range(block.volume)] == list(chunks(block))


@given(boxes())
def test_a_blocks_name_reads_back(block: Box) -> None:
    assert parse_block(block_name(block)) == block


@pytest.mark.parametrize("name", ["", "1_2_3", "0_0_0-0_1_1", "-1_0_0-1_1_1", "0_0_0-1_1_1x", "a_b_c-d_e_f"])
def test_what_is_no_blocks_name_is_refused(name: str) -> None:
    with pytest.raises(BadRequestError, match="block"):
        parse_block(name)
