"""The eight attributes: how their values are written as cells and read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.attributes import ATTRIBUTES, BY_NAME, SIZE, VOXELLESS_SIZE, feature_cells, select
from shared.errors import UnknownAttributeError
from shared.features.result import Features
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
    assert {a.name: (a.dtype.name, a.shape, a.n_bytes) for a in ATTRIBUTES} == CELLS
    assert [a.name for a in ATTRIBUTES] == sorted(CELLS)
    assert {a.name for a in ATTRIBUTES if a.optional} == {"pca", "pca_val"}


def test_types_are_named_as_clients_know_them() -> None:
    assert BY_NAME["mean_dt_nm"].type_name == "<class 'numpy.float16'>"


@given(features_strategy())
def test_written_cells_decode_to_the_features(features: Features) -> None:
    rows = list(feature_cells(features))
    assert [l2_id for l2_id, _ in rows] == features.node_ids.tolist()
    for row, (_, cells) in enumerate(rows):
        assert set(cells) == set(CELLS)
        for name, cell in cells.items():
            value = BY_NAME[name].decode(cell)
            if name in ("pca", "pca_val") and not features.has_pca[row]:
                assert cell == b""
                assert value.shape == (0,)
            else:
                assert len(cell) == BY_NAME[name].n_bytes
                np.testing.assert_array_equal(value, getattr(features, name)[row])
                assert value.dtype == BY_NAME[name].dtype


def test_cells_are_little_endian_without_header() -> None:
    assert BY_NAME["size_nm3"].decode(b"\x01\x02\x00\x00") == 513
    assert BY_NAME["mean_dt_nm"].decode(np.float16(1.5).tobytes()) == 1.5
    intersect = np.arange(6, dtype="<u2").tobytes()
    assert BY_NAME["chunk_intersect_count"].decode(intersect).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_zero_of_a_voxelless_node_is_read_from_its_first_bytes() -> None:
    assert len(VOXELLESS_SIZE) == 8
    assert SIZE.decode(VOXELLESS_SIZE) == 0
    assert SIZE.decode(b"\x07\x00\x00\x00\xff\xff\xff\xff") == 7


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda attribute: attribute.name)
def test_a_short_cell_is_an_error_that_names_the_attribute(attribute: Any) -> None:
    with pytest.raises(ValueError, match=attribute.name):
        attribute.decode(bytes(attribute.n_bytes - 1))


@given(st.lists(st.sampled_from(sorted(CELLS))))
def test_selected_attributes_come_once_and_in_order(names: list[str]) -> None:
    assert [attribute.name for attribute in select(names)] == sorted(set(names))


def test_all_attributes_are_selected_by_default() -> None:
    assert select(None) == ATTRIBUTES


@pytest.mark.parametrize("name", ["", "size", "SIZE_NM3", "l2_id"])
def test_an_unknown_attribute_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownAttributeError, match=repr(name)):
        select(["size_nm3", name])
