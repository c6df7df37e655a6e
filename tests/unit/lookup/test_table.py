"""Tables of Arrow and CSV against the rows they are of, one number at a time, and against CAVEclient's own table."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from caveclient.l2cache import L2CacheClient
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.attributes import ATTRIBUTES, SIZE, VOXELLESS_SIZE, Attribute
from shared.geometry.grid import GraphGeometry
from shared.lookup.answer import encode_answer
from shared.lookup.found import STATE_NAMES, IdState
from shared.lookup.table.encoding import BufferCompression, encode_arrow, encode_csv
from shared.lookup.table.nodes import node_columns
from shared.table.column import Column, flattened
from tests.support.features.further import BOX, NINE
from tests.support.lookup_rows import GEOMETRY, LAYOUT, ROW, Row, cells_of, ids_in_chunk, plainly

COMPRESSIONS: list[BufferCompression | None] = [None, "zstd", "lz4"]
CAVECLIENT_COLUMNS = [
    "area_nm2", "max_dt_nm", "mean_dt_nm", "size_nm3",
    "rep_coord_nm_x", "rep_coord_nm_y", "rep_coord_nm_z",
    "pca_0_x", "pca_0_y", "pca_0_z", "pca_1_x", "pca_1_y", "pca_1_z", "pca_2_x", "pca_2_y", "pca_2_z",
    "pca_val_0", "pca_val_1", "pca_val_2",
    "chunk_intersect_count_x_bottom", "chunk_intersect_count_y_bottom", "chunk_intersect_count_z_bottom",
    "chunk_intersect_count_x_top", "chunk_intersect_count_y_top", "chunk_intersect_count_z_top",
]  # fmt: skip
ROWS = st.dictionaries(st.integers(0, 40), st.tuples(ROW | st.none(), st.sampled_from(IdState)), max_size=8)


def columns_of(
    rows: Mapping[int, Row | None],
    states: Mapping[int, int] | None = None,
    attributes: tuple[Attribute, ...] = ATTRIBUTES.attributes,
    geometry: GraphGeometry = GEOMETRY,
) -> list[Column]:
    ids = np.array(sorted(rows), dtype=np.uint64)
    codes = np.array([(states or {}).get(i, IdState.CACHED) for i in ids.tolist()], dtype=np.uint8)
    cells = cells_of({i: row for i, row in rows.items() if row is not None}, attributes)
    return node_columns(ids, codes, cells, attributes, geometry)


def read(stream: bytes) -> pa.Table:
    table = pa.ipc.open_stream(stream).read_all()
    table.validate(full=True)
    return table


def flatly(l2_id: int, row: Row | None, state: int) -> dict[str, Any]:
    """One line of the table, a number at a time."""
    node = plainly(l2_id, row) if row is not None else {}
    line: dict[str, Any] = {"l2_id": l2_id, "state": STATE_NAMES[state]}
    for attribute in ATTRIBUTES:
        numbers = np.array(node[attribute.name]).ravel().tolist() if attribute.name in node else []
        for place, name in enumerate(attribute.column_names):
            line[name] = numbers[place] if numbers else None
    return line


def by_id(rows_by_segment: Mapping[int, Any]) -> dict[int, Any]:
    ids = ids_in_chunk(list(rows_by_segment)).tolist()
    return dict(sorted(zip(ids, rows_by_segment.values(), strict=True)))


class TestNodes:
    @given(ROWS, st.sampled_from(COMPRESSIONS))
    @settings(max_examples=50)
    def test_it_is_what_the_cells_say_one_by_one(self, drawn: dict[int, Any], compression: BufferCompression) -> None:
        nodes = by_id(drawn)
        columns = columns_of({i: row for i, (row, _) in nodes.items()}, {i: state for i, (_, state) in nodes.items()})
        table = read(encode_arrow(columns, compression))
        assert table.to_pylist() == [flatly(i, row, state) for i, (row, state) in nodes.items()]

    @given(ROWS)
    @settings(max_examples=50)
    def test_csv_has_the_same_values(self, drawn: dict[int, Any]) -> None:
        nodes = by_id(drawn)
        columns = columns_of({i: row for i, (row, _) in nodes.items()}, {i: state for i, (_, state) in nodes.items()})
        head, *lines = encode_csv(columns).decode().splitlines()
        names = head.split(",")
        assert names == [column.name for column in columns]
        for line, (i, (row, state)) in zip(lines, nodes.items(), strict=True):
            expected = flatly(i, row, state)
            for name, text in zip(names, line.split(","), strict=True):
                value = expected[name]
                assert (text == "") == (value is None)
                assert value is None or (text if isinstance(value, str) else json.loads(text)) == value

    @given(st.dictionaries(st.integers(0, 40), ROW | st.none(), min_size=1, max_size=6))
    @settings(max_examples=10)
    def test_it_is_caveclients_table_where_that_has_values(self, drawn: dict[int, Row | None]) -> None:
        rows = by_id(drawn)
        there = {i: row for i, row in rows.items() if row is not None}
        answer = json.loads(
            encode_answer(np.array(list(rows), np.uint64), cells_of(there), tuple(ATTRIBUTES), GEOMETRY)
        )
        client = Mock(get_l2data=Mock(return_value=answer))
        theirs = L2CacheClient.get_l2data_table(client, list(rows))
        ours = read(encode_arrow(columns_of(rows))).to_pandas().set_index("l2_id")
        assert ours.index.tolist() == theirs.index.tolist()
        for name in theirs.columns:
            attribute = next(a for a in ATTRIBUTES if name in a.column_names)
            has_value = np.array([attribute.name in node for node in answer.values()])
            assert ours[name].notna().tolist() == has_value.tolist()
            assert ours[name][has_value].astype(float).tolist() == theirs[name][has_value].astype(float).tolist()

    def test_names_and_order_are_those_of_caveclient(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        row = {a.name: bytes(a.n_bytes) for a in ATTRIBUTES}
        answer = {str(l2_id): plainly(l2_id, row)}
        theirs = L2CacheClient.get_l2data_table(Mock(get_l2data=Mock(return_value=answer)), [l2_id])
        assert list(theirs.columns) == CAVECLIENT_COLUMNS
        assert [column.name for column in columns_of({l2_id: row})] == ["l2_id", "state", *CAVECLIENT_COLUMNS]

    @pytest.mark.parametrize("found", [True, False])
    def test_types_and_units_do_not_depend_on_what_was_found(self, found: bool) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        row = {a.name: bytes(a.n_bytes) for a in ATTRIBUTES} if found else None
        schema = read(encode_arrow(columns_of({l2_id: row}))).schema
        types = {field.name: str(field.type) for field in schema}
        assert types["l2_id"] == types["size_nm3"] == "uint64"
        assert types["state"] == "dictionary<values=string, indices=int8, ordered=0>"
        assert (types["area_nm2"], types["max_dt_nm"], types["chunk_intersect_count_x_top"]) == (
            "uint32",
            "uint16",
            "uint16",
        )
        assert {types[name] for name in ("mean_dt_nm", "rep_coord_nm_y", "pca_1_z", "pca_val_2")} == {"double"}
        assert [field.name for field in schema if not field.nullable] == ["l2_id", "state"]
        assert schema.field("size_nm3").metadata == {b"unit": b"nm3", b"meaning": b"volume"}
        assert schema.field("pca_0_x").metadata.keys() == {b"meaning"}
        units = json.loads(schema.metadata[b"units"])
        expected = {name: a.unit for a in ATTRIBUTES if a.unit for name in a.column_names}
        assert units == expected

    def test_nothing_asked_is_a_table_without_rows(self) -> None:
        assert read(encode_arrow(columns_of({}))).num_rows == 0
        assert encode_csv(columns_of({})).decode() == ",".join(["l2_id", "state", *CAVECLIENT_COLUMNS]) + "\n"

    def test_only_the_named_attributes_have_columns(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        columns = columns_of({l2_id: {"pca": b""}}, attributes=(ATTRIBUTES["pca_val"], SIZE))
        assert [c.name for c in columns] == ["l2_id", "state", "size_nm3", "pca_val_0", "pca_val_1", "pca_val_2"]

    def test_what_is_no_number_stays_what_it_is_and_is_no_null(self) -> None:
        (l2_id,) = ids_in_chunk([1]).tolist()
        row = {"pca_val": np.array([np.nan, np.inf, 1], dtype="<f4").tobytes()}
        table = read(encode_arrow(columns_of({l2_id: row}, attributes=(ATTRIBUTES["pca_val"],))))
        (line,) = table.to_pylist()
        assert math.isnan(line["pca_val_0"])
        assert (line["pca_val_1"], line["pca_val_2"]) == (math.inf, 1.0)

    def test_sizes_are_exact_beyond_doubles(self) -> None:
        (l2_id, missing) = ids_in_chunk([1, 2]).tolist()
        geometry = GraphGeometry(LAYOUT, (128, 128, 64), (0, 0, 0), (480, 496, 464), (64.0, 64.0, 1001.0), 0, "")
        row = {"size_nm3": np.uint32(2**32 - 1).tobytes()}
        columns = columns_of({l2_id: row, missing: None}, attributes=(SIZE,), geometry=geometry)
        exact = (2**32 - 1) * 64 * 64 * 1001
        assert read(encode_arrow(columns))["size_nm3"].to_pylist() == [exact, None]
        assert encode_csv(columns).decode().splitlines()[1] == f"{l2_id},cached,{exact}"

    def test_a_further_attribute_with_a_mask_has_columns_of_its_own_at_the_end(self) -> None:
        new, single, old, voxelless = ids_in_chunk([1, 2, 3, 4]).tolist()
        rows: dict[int, Row | None] = {
            new: {"size_nm3": np.uint32(8).tobytes(), BOX.name: np.array([2, 3, 4], "<u2").tobytes()},
            single: {"size_nm3": np.uint32(1).tobytes(), BOX.name: b""},
            old: {"size_nm3": np.uint32(8).tobytes()},
            voxelless: {"size_nm3": VOXELLESS_SIZE},
        }
        table = read(encode_arrow(columns_of(rows, attributes=NINE.attributes)))
        assert table.column_names == ["l2_id", "state", *CAVECLIENT_COLUMNS, "box_nm_0", "box_nm_1", "box_nm_2"]
        edges = [table[f"box_nm_{axis}"].to_pylist() for axis in range(3)]
        assert edges == [[size * nm, None, None, None] for size, nm in zip((2, 3, 4), (16, 16, 40), strict=True)]
        assert table["size_nm3"].to_pylist() == [8 * 10240, 10240, 8 * 10240, 0]


TEXTS = ('no such root, "1"', "away")
LINES = (
    {"root_id": 3, "complete": True, "error": TEXTS[0], "kind": "b", "low_x": 1.5, "low_y": 2.0},
    {"root_id": 2**63 - 1, **dict.fromkeys(("complete", "error", "kind", "low_x", "low_y"))},
    {"root_id": 1, "complete": False, "error": TEXTS[1], "kind": "a", "low_x": 3.0, "low_y": 0.1},
)


def columns_of_roots() -> list[Column]:
    first_and_last = np.array([True, False, True])
    return [
        Column("root_id", np.array([3, 2**63 - 1, 1], np.uint64)),
        Column("complete", np.array([True, False]), first_and_last),
        Column("error", np.array(TEXTS, dtype=object), first_and_last, meaning="why"),
        Column("kind", np.array([1, 0], np.uint8), first_and_last, categories=("a", "b")),
        *flattened(("low_x", "low_y"), np.array([[1.5, 2], [3, 0.1]]), first_and_last, "nm"),
    ]


class TestColumns:
    """What other answers make tables of."""

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_numbers_truths_texts_and_categories_come_back(self, compression: BufferCompression | None) -> None:
        assert read(encode_arrow(columns_of_roots(), compression)).to_pylist() == list(LINES)

    def test_csv_quotes_what_needs_it(self) -> None:
        table = pd.read_csv(io.BytesIO(encode_csv(columns_of_roots())), dtype_backend="numpy_nullable")
        lines = [{name: None if pd.isna(v) else v for name, v in line.items()} for line in table.to_dict("records")]
        assert lines == list(LINES)

    @pytest.mark.parametrize("compression", ["zstd", "lz4"])
    def test_compression_makes_streams_smaller(self, compression: BufferCompression) -> None:
        columns = [Column("x", np.zeros(10_000))]
        assert len(encode_arrow(columns, compression)) * 10 < len(encode_arrow(columns))
