from __future__ import annotations

import json
import logging
import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.attributes import ATTRIBUTES, SIZE, VOXELLESS_SIZE
from shared.geometry.grid import GraphGeometry
from shared.lookup.answer import decode_column, encode_answer
from shared.store.protocol import CachedCells
from shared.types import UInt64Array
from tests.support.lookup_rows import GEOMETRY, LAYOUT, ROW, Row, cells_of, ids_in_chunk, plainly


def answer(asked: list[int], rows: Mapping[int, Row], **options: Any) -> dict[str, Any]:
    attributes = options.pop("attributes", ATTRIBUTES)
    geometry = options.pop("geometry", GEOMETRY)
    ids = np.array(sorted(asked), dtype=np.uint64)
    decoded: dict[str, Any] = json.loads(
        encode_answer(ids, cells_of(rows, attributes), attributes, geometry, **options)
    )
    return decoded


def _rows_of(cells: CachedCells, l2_ids: UInt64Array) -> CachedCells:
    """The cells of some of the ids only."""
    there = np.isin(cells.l2_ids, l2_ids)
    return CachedCells(
        cells.l2_ids[there],
        {
            name: [cell for cell, is_there in zip(column, there.tolist(), strict=True) if is_there]
            for name, column in cells.columns.items()
        },
    )


class TestAnswer:
    @given(st.dictionaries(st.integers(0, 40), ROW | st.none(), max_size=8))
    def test_it_is_what_the_cells_say_one_by_one(self, rows_by_segment: dict[int, Row | None]) -> None:
        ids = dict(zip(rows_by_segment, ids_in_chunk(list(rows_by_segment)).tolist(), strict=True))
        rows = {ids[segment]: row for segment, row in rows_by_segment.items() if row is not None}
        found = answer(list(ids.values()), rows)
        assert found == {str(i): plainly(i, rows[i]) if i in rows else {} for i in ids.values()}

    def test_keys_ascend_and_attributes_are_in_alphabetical_order(self) -> None:
        rows = {i: {a.name: bytes(a.n_bytes) for a in ATTRIBUTES} for i in ids_in_chunk([7, 5, 6]).tolist()}
        found = answer(list(rows), rows)
        assert list(found) == [str(i) for i in sorted(rows)]
        assert all(list(node) == list(ATTRIBUTES.names) for node in found.values())

    def test_a_node_without_voxels_has_size_zero_and_nothing_else(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        assert answer([l2_id], {l2_id: {"size_nm3": VOXELLESS_SIZE}}) == {str(l2_id): {"size_nm3": 0}}

    def test_a_row_without_the_asked_for_cells_is_empty(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        assert answer([l2_id], {l2_id: {"pca": b""}}, attributes=(ATTRIBUTES["pca"],)) == {str(l2_id): {}}

    def test_nothing_asked_is_an_empty_object(self) -> None:
        assert answer([], {}) == {}

    def test_ids_that_cannot_exist_are_keys_too(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        row = {"max_dt_nm": np.uint16(5).tobytes()}
        assert answer([0, l2_id, 2**64 - 1], {l2_id: row}) == {
            "0": {},
            str(l2_id): {"max_dt_nm": 5},
            str(2**64 - 1): {},
        }

    def test_many_ids_are_written_as_few_are(self) -> None:
        ids = np.sort(ids_in_chunk(list(range(25_000))))
        full = {a.name: bytes(a.n_bytes) for a in ATTRIBUTES}
        rows = {l2_id: full for number, l2_id in enumerate(ids.tolist()) if number % 10_000 not in (0, 7, 9_999)}
        cells = cells_of(rows, ATTRIBUTES)
        parts = [encode_answer(part, _rows_of(cells, part), ATTRIBUTES, GEOMETRY) for part in np.array_split(ids, 9)]
        whole = encode_answer(ids, cells, ATTRIBUTES, GEOMETRY)
        assert whole == b"{" + b",".join(part[1:-1] for part in parts) + b"}"

    def test_many_ids_take_little_more_memory_than_their_answer(self) -> None:
        ids = np.sort(ids_in_chunk(list(range(60_000))))
        numbers = np.random.default_rng(1).integers(1, 60, (len(ids), sum(a.n_bytes for a in ATTRIBUTES)), np.uint8)
        columns, start = {}, 0
        for attribute in ATTRIBUTES:
            values = numbers[:, start : start + attribute.n_bytes]
            columns[attribute.name] = [value.tobytes() for value in values]
            start += attribute.n_bytes
        tracemalloc.start()
        try:
            answer_bytes = len(encode_answer(ids, CachedCells(ids, columns), ATTRIBUTES, GEOMETRY))
            assert tracemalloc.get_traced_memory()[1] < 4 * answer_bytes
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("voxels", [1, 2**32 - 1])
    def test_size_is_an_exact_integer_and_as_text_if_asked_for(self, voxels: int) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        rows = {l2_id: {"size_nm3": np.uint32(voxels).tobytes(), "area_nm2": np.uint32(7).tobytes()}}
        exact = voxels * 64 * 64 * 1001
        geometry = GraphGeometry(LAYOUT, (128, 128, 64), (0, 0, 0), (480, 496, 464), (64.0, 64.0, 1001.0), 0, "")
        assert answer([l2_id], rows, geometry=geometry)[str(l2_id)] == {"area_nm2": 7, "size_nm3": exact}
        text = answer([l2_id], rows, geometry=geometry, int64_as_str=True)[str(l2_id)]
        assert text == {"area_nm2": 7, "size_nm3": str(exact)}

    def test_size_of_fractional_voxels_is_their_product(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        geometry = GraphGeometry(LAYOUT, (128, 128, 64), (0, 0, 0), (480, 496, 464), (4.5, 4.0, 40.25), 0, "")
        rows = {l2_id: {"size_nm3": np.uint32(3).tobytes(), "rep_coord_nm": np.array([1, 2, 3], "<u2").tobytes()}}
        found = answer([l2_id], rows, geometry=geometry)[str(l2_id)]
        assert found == {"rep_coord_nm": [129 * 4.5, 258 * 4.0, 195 * 40.25], "size_nm3": 3 * 4.5 * 4.0 * 40.25}

    def test_what_is_no_number_is_null(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        cell = np.array([np.nan, np.inf, 1], dtype="<f4").tobytes()
        assert answer([l2_id], {l2_id: {"pca_val": cell}}) == {str(l2_id): {"pca_val": [None, None, 1.0]}}


class TestColumn:
    def test_longer_cells_are_read_from_their_start(self) -> None:
        there, values = decode_column(SIZE, [b"\x05\0\0\0\0\0\0\0", b"\x06\0\0\0", b""])
        assert there.tolist() == [True, True, False]
        assert values.tolist() == [5, 6]

    def test_cells_whose_lengths_only_add_up_are_told_apart(self) -> None:
        there, values = decode_column(SIZE, [bytes([1, 0, 0, 0, 9, 9, 9, 9]), b""])
        assert (there.tolist(), values.tolist()) == ([True, False], [1])

    def test_cells_that_are_too_short_count_as_empty_and_are_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR, logger="l2cache"):
            there, values = decode_column(ATTRIBUTES["pca_val"], [b"\x01\0\0", bytes(12)])
        assert (there.tolist(), values.tolist()) == ([False, True], [[0.0, 0.0, 0.0]])
        assert "cells are too short" in caplog.text
