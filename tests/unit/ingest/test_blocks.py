import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BadRequestError
from shared.geometry import Box
from shared.ingest.blocks import FAN_OUT, block_name, children, chunks, parse_block

sizes = st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14))
starts = st.tuples(st.integers(0, 700), st.integers(0, 700), st.integers(0, 700))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    (x, y, z), (a, b, c) = draw(starts), draw(sizes)
    return Box((x, y, z), (x + a, y + b, z + c))


def leaves(block: Box, leaf_chunks: int) -> list[Box]:
    if block.volume <= leaf_chunks:
        return [block]
    return [leaf for child in children(block, leaf_chunks, fan_out=4) for leaf in leaves(child, leaf_chunks)]


@settings(max_examples=60)
@given(boxes(), st.integers(1, 40))
def test_the_leaves_of_a_block_hold_each_of_its_chunks_once(block: Box, leaf_chunks: int) -> None:
    found = [chunk for leaf in leaves(block, leaf_chunks) for chunk in chunks(leaf)]
    assert all(leaf.volume <= leaf_chunks for leaf in leaves(block, leaf_chunks))
    assert len(found) == block.volume
    assert set(found) == set(chunks(block))


@given(boxes(), st.integers(1, 40))
def test_an_expand_task_has_few_children_and_none_smaller_than_half_a_leaf(block: Box, leaf_chunks: int) -> None:
    parts = children(block, leaf_chunks)
    assert len(parts) <= FAN_OUT
    if len(parts) > 1:
        # Halving the longest axis of a block above the limit leaves at least a third of it on each side.
        assert all(3 * part.volume >= leaf_chunks for part in parts)


def test_the_grid_of_a_petascale_volume_takes_few_levels() -> None:
    block = Box((0, 0, 0), (752, 512, 26))
    levels = 0
    while block.volume > 16:
        block = max(children(block, 16), key=lambda part: part.volume)
        levels += 1
    assert levels <= 4


@given(boxes())
def test_a_blocks_name_reads_back(block: Box) -> None:
    assert parse_block(block_name(block)) == block


@pytest.mark.parametrize("name", ["", "1_2_3", "0_0_0-0_1_1", "-1_0_0-1_1_1", "0_0_0-1_1_1x", "a_b_c-d_e_f"])
def test_what_is_no_blocks_name_is_refused(name: str) -> None:
    with pytest.raises(BadRequestError, match="block"):
        parse_block(name)
