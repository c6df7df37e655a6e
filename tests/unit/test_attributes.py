"""The table of attributes, and how values are written as cells and read back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.attributes import (
    ATTRIBUTES,
    PCGL2CACHE_ATTRIBUTES,
    SIZE,
    VOXELLESS_SIZE,
    Attribute,
    AttributeTable,
    Mask,
    feature_cells,
    further_names,
)
from shared.errors import UnknownAttributeError
from shared.features.result import Features
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout
from tests.support.features.rows import features_strategy

# from the table in storage.md
CELLS = {
    "size_nm3": ("uint32", (), 4),
    "area_nm2": ("uint32", (), 4),
    "max_dt_nm": ("uint16", (), 2),
    "mean_dt_nm": ("float16", (), 2),
    "rep_coord_nm": ("uint16", (3,), 6),
    "chunk_intersect_count": ("uint16", (2, 3), 12),
    "pca": ("float16", (3, 3), 18),
    "pca_val": ("float32", (3,), 12),
}


def test_the_attributes_are_those_of_the_table_format() -> None:
    assert {a.name: (a.dtype.name, a.shape, a.n_bytes) for a in PCGL2CACHE_ATTRIBUTES} == CELLS
    assert [a.name for a in PCGL2CACHE_ATTRIBUTES] == sorted(CELLS)
    assert set(further_names(ATTRIBUTES)) == set(ATTRIBUTES.names) - set(CELLS)
    assert {a.name for a in PCGL2CACHE_ATTRIBUTES if a.mask is not None} == {"pca", "pca_val"}


def test_types_are_named_as_clients_know_them() -> None:
    assert ATTRIBUTES["mean_dt_nm"].type_name == "<class 'numpy.float16'>"


@given(features_strategy())
def test_written_cells_decode_to_the_features(features: Features) -> None:
    rows = list(feature_cells(features))
    assert [l2_id for l2_id, _ in rows] == features.node_ids.tolist()
    for row, (_, cells) in enumerate(rows):
        assert set(cells) == set(ATTRIBUTES.names)
        for name, cell in cells.items():
            value = ATTRIBUTES[name].decode(cell)
            if name in ("pca", "pca_val") and not features.has_pca[row]:
                assert cell == b""
                assert value.shape == (0,)
            else:
                assert len(cell) == ATTRIBUTES[name].n_bytes
                np.testing.assert_array_equal(value, getattr(features, name)[row])
                assert value.dtype == ATTRIBUTES[name].dtype


def test_cells_are_little_endian_without_header() -> None:
    assert ATTRIBUTES["size_nm3"].decode(b"\x01\x02\x00\x00") == 513
    assert ATTRIBUTES["mean_dt_nm"].decode(np.float16(1.5).tobytes()) == 1.5
    intersect = np.arange(6, dtype="<u2").tobytes()
    assert ATTRIBUTES["chunk_intersect_count"].decode(intersect).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_zero_of_a_voxelless_node_is_read_from_its_first_bytes() -> None:
    assert len(VOXELLESS_SIZE) == 8
    assert SIZE.decode(VOXELLESS_SIZE) == 0
    assert SIZE.decode(b"\x07\x00\x00\x00\xff\xff\xff\xff") == 7


@pytest.mark.parametrize("attribute", list(ATTRIBUTES), ids=lambda attribute: attribute.name)
def test_a_short_cell_is_an_error_that_names_the_attribute(attribute: Any) -> None:
    with pytest.raises(ValueError, match=attribute.name):
        attribute.decode(bytes(attribute.n_bytes - 1))


@given(st.lists(st.sampled_from(sorted(CELLS))))
def test_selected_attributes_come_once_and_in_order(names: list[str]) -> None:
    assert [attribute.name for attribute in ATTRIBUTES.select(names)] == sorted(set(names))


def test_all_attributes_are_selected_by_default() -> None:
    assert ATTRIBUTES.select(None) == tuple(ATTRIBUTES)


@pytest.mark.parametrize("name", ["", "size", "SIZE_NM3", "l2_id"])
def test_an_unknown_attribute_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownAttributeError, match=repr(name)):
        ATTRIBUTES.select(["size_nm3", name])


def further(name: str, mask: Mask | None = None) -> Attribute:
    return dataclasses.replace(ATTRIBUTES["area_nm2"], name=name, mask=mask)


def test_a_further_attribute_is_in_its_place_of_the_alphabet() -> None:
    table = PCGL2CACHE_ATTRIBUTES.extended(further("between"))
    assert further_names(table) == ("between",)
    assert list(table.names) == sorted([*CELLS, "between"])
    assert [attribute.name for attribute in table.select(["pca", "between"])] == ["between", "pca"]


@pytest.mark.parametrize(
    "name", ["pca", "has_pca", "l2_id", "written_us", "node_ids", "Colour", "a b", 'a"', "", "a" * 64]
)
def test_a_name_that_is_taken_or_cannot_be_a_columns_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot have these names"):
        ATTRIBUTES.extended(further(name))


def test_two_masks_cannot_have_the_same_name() -> None:
    with pytest.raises(ValueError, match="has_pca"):
        ATTRIBUTES.extended(further("colour", Mask("has_pca", lambda nodes: nodes.voxels > 1)))


def test_a_table_has_a_size_by_which_rows_are_known() -> None:
    with pytest.raises(ValueError, match="size_nm3"):
        AttributeTable((further("colour"),))


def test_units_are_those_that_the_names_say() -> None:
    said = {a.name: a.name.rsplit("_", 1)[-1] for a in ATTRIBUTES if "_nm" in a.name}
    assert said == {a.name: a.unit for a in ATTRIBUTES if a.name in said}
    assert all(attribute.meaning for attribute in ATTRIBUTES)


def test_answered_types_are_those_of_the_table() -> None:
    layout = IdLayout(8, ((1, 10), (2, 10)))
    geometry = GraphGeometry(layout, (64, 64, 64), (0, 0, 0), (100, 100, 100), (8.0, 8.0, 40.0), 0, "")
    ids = np.array([2 << 56 | 1], np.uint64)
    for attribute in ATTRIBUTES:
        answered = attribute.answer(np.ones((1, *attribute.shape), attribute.dtype), ids, geometry)
        assert answered.dtype == attribute.answered, attribute.name
        assert answered.shape == (1, *attribute.shape)


@pytest.mark.parametrize(
    ("shape", "entries", "columns"),
    [
        ((), (), ["colour"]),
        ((2,), (), ["colour_0", "colour_1"]),
        ((2, 2), (), ["colour_0_0", "colour_0_1", "colour_1_0", "colour_1_1"]),
        ((2,), ("red", "blue"), ["colour_red", "colour_blue"]),
    ],
)
def test_a_number_of_a_value_has_a_column_of_its_own(
    shape: tuple[int, ...], entries: tuple[str, ...], columns: list[str]
) -> None:
    colour = dataclasses.replace(further("colour"), shape=shape, entries=entries)
    assert list(ATTRIBUTES.extended(colour)["colour"].column_names) == columns


@pytest.mark.parametrize("name", ["state", "pca_val_0", "rep_coord_nm_x"])
def test_a_name_that_a_column_of_a_table_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot have these names.*{name}"):
        ATTRIBUTES.extended(further(name))


def test_the_numbers_of_a_value_have_as_many_names() -> None:
    with pytest.raises(ValueError, match="not as many as these: colour"):
        ATTRIBUTES.extended(dataclasses.replace(further("colour"), shape=(3,), entries=("red", "blue")))
