from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError, NotAnL2IdError, OutsideVolumeError
from shared.geometry.ids import (
    IdLayout,
    chunk_coordinates,
    compose_ids,
    distinct_ids,
    is_l2,
    l2_id_range,
    l2_id_ranges,
    layers,
    node_coordinates,
    segments,
    supervoxel_chunks,
    supervoxel_chunks_of_nodes,
)
from shared.types import Triple

INFO = {"graph": {"n_bits_for_layer_id": 8, "spatial_bit_masks": {"1": 10, "2": 10, "3": 2, "4": 1, "5": 1}}}
LAYOUT = IdLayout.from_info(INFO)


def test_a_real_id_falls_into_the_parts_that_the_bits_say() -> None:
    ids = np.array([144326500936581121], dtype=np.uint64)  # the L2 id of the real data set's chunk (3, 3, 7)
    assert layers(ids, LAYOUT).tolist() == [2]
    assert chunk_coordinates(ids, LAYOUT).tolist() == [[3, 3, 7]]
    assert segments(ids, 2, LAYOUT).tolist() == [144326500936581121 & (2**26 - 1)]


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=6), st.booleans())
def test_distinct_ids_ascend_whatever_the_order_they_come_in(ids: list[int], in_order: bool) -> None:
    came = np.array(sorted(set(ids)) if in_order else ids, dtype=np.uint64)
    distinct = distinct_ids(came)
    assert distinct.dtype == np.uint64
    assert distinct.tolist() == sorted(set(ids))


@st.composite
def layouts(draw: st.DrawFn) -> IdLayout:
    layer_bits = draw(st.integers(3, 10))
    n_layers = draw(st.integers(2, 7))
    return IdLayout(layer_bits, tuple((layer, draw(st.integers(0, 15))) for layer in range(1, n_layers + 1)))


@given(data=st.data(), layout=layouts())
def test_composing_and_taking_apart_are_inverse_for_every_layout(data: st.DataObject, layout: IdLayout) -> None:
    layer = data.draw(st.sampled_from([layer for layer, _ in layout.spatial_bits]))
    coordinate = st.integers(0, 2 ** layout.axis_bits(layer) - 1)
    segment = st.integers(0, 2 ** layout.segment_bits(layer) - 1)
    parts = data.draw(st.lists(st.tuples(coordinate, coordinate, coordinate, segment), max_size=20))
    coordinates = np.array([part[:3] for part in parts], dtype=np.int64).reshape(-1, 3)
    numbers = np.array([part[3] for part in parts], dtype=np.uint64)
    ids = compose_ids(layer, coordinates, numbers, layout)
    # The definition, with Python's own integers.
    bits, segment_bits = layout.axis_bits(layer), layout.segment_bits(layer)
    expected = [
        layer << (64 - layout.layer_bits)
        | x << segment_bits + 2 * bits
        | y << segment_bits + bits
        | z << segment_bits
        | s
        for x, y, z, s in parts
    ]
    assert ids.dtype == np.uint64
    assert ids.tolist() == expected
    assert layers(ids, layout).tolist() == [layer] * len(parts)
    np.testing.assert_array_equal(node_coordinates(ids, layer, layout), coordinates)
    np.testing.assert_array_equal(segments(ids, layer, layout), numbers)
    np.testing.assert_array_equal(is_l2(ids, layout), [layer == 2] * len(parts))


def test_coordinates_of_another_layers_id_are_refused_and_the_id_is_named() -> None:
    with pytest.raises(NotAnL2IdError, match="72057594037927937"):
        chunk_coordinates(np.array([144115188075855873, 72057594037927937], dtype=np.uint64), LAYOUT)


def test_the_id_zero_and_the_largest_id_are_no_l2_ids() -> None:
    assert is_l2(np.array([0, 2**64 - 1], dtype=np.uint64), LAYOUT).tolist() == [False, False]


@pytest.mark.parametrize(("coordinate", "segment"), [((1024, 0, 0), 1), ((0, -1, 0), 1), ((0, 0, 0), 2**26)])
def test_parts_that_do_not_fit_are_refused(coordinate: tuple[int, int, int], segment: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        compose_ids(2, np.array([coordinate]), np.array([segment], dtype=np.uint64), LAYOUT)


def test_the_range_of_a_chunk_holds_exactly_its_ids() -> None:
    first, last = l2_id_range((3, 3, 7), LAYOUT)
    ids = np.array([first - 1, first, last, last + 1], dtype=np.uint64)
    assert (chunk_coordinates(ids, LAYOUT) == (3, 3, 7)).all(axis=1).tolist() == [False, True, True, False]


@pytest.mark.parametrize("chunk", [(1024, 0, 0), (0, 1024, 0), (0, 0, 2**18 - 1), (-1, 0, 0)])
def test_a_chunk_whose_coordinates_no_id_can_hold_is_refused(chunk: tuple[int, int, int]) -> None:
    with pytest.raises(OutsideVolumeError, match=f"chunk .{chunk[0]}, {chunk[1]}, {chunk[2]}. .* 10 bits"):
        l2_id_range(chunk, LAYOUT)


@given(st.tuples(*[st.integers(-1, 1024)] * 3))
def test_the_range_of_a_chunk_begins_with_its_first_id(chunk: Triple) -> None:
    try:
        composed = int(compose_ids(2, np.array(chunk), np.uint64(0), LAYOUT))
    except ValueError:
        with pytest.raises(OutsideVolumeError):
            l2_id_range(chunk, LAYOUT)
    else:
        assert l2_id_range(chunk, LAYOUT) == (composed, composed | 2**26 - 1)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=30), st.sampled_from([2, 10]))
def test_the_ranges_of_chunks_hold_exactly_their_ids_and_do_not_touch(chunks: list[Triple], bits: int) -> None:
    layout = IdLayout(8, ((1, 10), (2, bits)))
    singly = sorted(l2_id_range(chunk, layout) for chunk in set(chunks))
    ranges = l2_id_ranges(chunks, layout)
    size = 1 << layout.segment_bits(2)
    assert [(first, first + size - 1) for start, stop in ranges for first in range(start, stop + 1, size)] == singly
    assert all(stop + 1 < start for (_, stop), (start, _) in pairwise(ranges))


def test_chunks_in_a_row_have_one_range() -> None:
    row = [(3, 3, z) for z in range(8)]
    assert l2_id_ranges(row, LAYOUT) == [(l2_id_range(row[0], LAYOUT)[0], l2_id_range(row[-1], LAYOUT)[1])]
    assert len(l2_id_ranges([*row, (3, 4, 0)], LAYOUT)) == 2


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"spatial_bit_masks": None},
        {"spatial_bit_masks": {"1": 10}},
        {"spatial_bit_masks": {"2": 30}},
        {"spatial_bit_masks": {"2": "ten"}},
        {"spatial_bit_masks": {"2": -1}},
        {"spatial_bit_masks": {"300": 1, "2": 1}},
        {"spatial_bit_masks": {"1": 9, "2": 10}},
    ],
)
def test_an_info_without_usable_bit_counts_is_refused(graph: object) -> None:
    with pytest.raises(ConfigurationError):
        IdLayout.from_info({"graph": graph})


def test_the_layer_takes_eight_bits_unless_the_info_says_otherwise() -> None:
    assert IdLayout.from_info({"graph": {"spatial_bit_masks": {"2": 10}}}).layer_bits == 8


def test_supervoxels_have_the_bits_of_layer_2_unless_the_info_says_otherwise() -> None:
    assert IdLayout.from_info({"graph": {"spatial_bit_masks": {"2": 10}}}).axis_bits(1) == 10
    assert IdLayout.from_info({"graph": {"spatial_bit_masks": {"1": 12, "2": 10}}}).axis_bits(1) == 12


@given(
    chunk=st.tuples(*[st.integers(0, 1023)] * 3),
    other=st.tuples(*[st.integers(0, 1023)] * 3),
    layer=st.sampled_from([1, 2]),
    bits=st.integers(10, 14),
)
def test_a_nodes_supervoxels_are_those_of_layer_1_with_its_chunk(
    chunk: tuple[int, int, int], other: tuple[int, int, int], layer: int, bits: int
) -> None:
    layout = IdLayout(8, ((1, bits), (2, 10)))
    node = compose_ids(2, np.array([chunk]), np.array([3], dtype=np.uint64), layout)
    one = compose_ids(layer, np.array([other]), np.array([9], dtype=np.uint64), layout)
    same = (supervoxel_chunks(one, layout) == supervoxel_chunks_of_nodes(node, layout)).tolist()
    assert same == [layer == 1 and chunk == other]
    own = compose_ids(1, np.array([chunk]), np.array([9], dtype=np.uint64), layout)
    assert supervoxel_chunks(own, layout) == supervoxel_chunks_of_nodes(node, layout)
