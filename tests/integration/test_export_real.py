"""Exports of the table that PCGL2Cache wrote, from SQLite and from Bigtable's emulator, and their imports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet
import pytest

from shared.attributes import ATTRIBUTES
from shared.geometry.grid import Box, GraphGeometry
from shared.geometry.ids import l2_id_range
from shared.google.bigtable.clients import DataClients
from shared.ingest.blocks import chunks
from shared.store.bigtable import BigtableStore
from shared.store.protocol import CacheStore
from shared.store.rows import StoredRows
from shared.store.sqlite import SQLiteStore
from shared.store.table_format import Cell
from shared.table.parquet import ROWS_PER_GROUP, decode_parquet, encode_parquet
from shared.table.row_columns import row_columns, rows_of_columns
from tests.support.data.cache_dumps import restore
from tests.support.documentation import blocks, pages

N_ROWS = 12_181
COPY = "l2cache_rig_graph_copy"


@pytest.fixture(scope="module")
def geometry(shared_data: Path) -> GraphGeometry:
    return GraphGeometry.from_info(json.loads((shared_data / "graphene_info.json").read_text()))


@pytest.fixture(scope="module")
def written(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SQLiteStore, str]]:
    with closing(SQLiteStore(tmp_path_factory.mktemp("real") / "cache.db")) as store:
        yield store, restore(shared_data / "tables" / "cache_after_merge.ndjson.gz", store)


def all_rows(store: CacheStore, table: str, geometry: GraphGeometry) -> StoredRows:
    ranges = [l2_id_range(chunk, geometry.layout) for chunk in chunks(Box((0, 0, 0), geometry.grid_shape))]
    return store.scan_rows(table, ranges)


def node_cells(store: SQLiteStore, table: str) -> list[Cell]:
    return [cell for cell in store.cells(table) if cell.row_key.isdigit()]


def exported(rows: StoredRows, geometry: GraphGeometry) -> bytes:
    return encode_parquet([row_columns(rows, ATTRIBUTES.attributes, geometry, is_whole=True)])


def imported(content: bytes, geometry: GraphGeometry, store: CacheStore) -> None:
    for columns in decode_parquet(content):
        for rows in rows_of_columns(columns, ATTRIBUTES, geometry):
            store.write_rows(COPY, rows)


def test_an_import_of_the_export_leaves_every_cell_equal(
    written: tuple[SQLiteStore, str], geometry: GraphGeometry, tmp_path: Path
) -> None:
    store, table = written
    rows = all_rows(store, table, geometry)
    content = exported(rows, geometry)
    assert (len(rows), rows.others) == (N_ROWS, {})
    with closing(SQLiteStore(tmp_path / "copy.db")) as copy:
        copy.create_table(COPY, store.read_meta(table))
        imported(content, geometry, copy)
        assert node_cells(copy, COPY) == node_cells(store, table)
    path = tmp_path / "rows.parquet"
    path.write_bytes(content)
    (texts,) = duckdb.read_parquet(str(path)).aggregate("count(cells_as_stored)").fetchall()
    assert texts == (0,), "all rows of PCGL2Cache follow from the columns"


def test_the_documentation_reads_an_export_by_duckdb_polars_and_pandas(
    written: tuple[SQLiteStore, str], geometry: GraphGeometry, tmp_path: Path
) -> None:
    rows = all_rows(*written, geometry)
    (tmp_path / "rows.parquet").write_bytes(exported(rows, geometry))
    (code,) = blocks(pages()["docs/exports.md"], "python")
    names: dict[str, Any] = {"folder": str(tmp_path), "name": "rows.parquet"}
    exec(code, names)  # noqa: S102  # our own page
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pandas()
    x, y = table["rep_coord_nm_x"], table["rep_coord_nm_y"]
    assert 0 < len(names["in_a_box"]) == (x.between(18000, 20000) & y.between(33000, 34000)).sum()
    assert 0 < len(names["with_polars"]) == (table["size_nm3"] > 10**9).sum()
    assert len(names["with_pandas"]) == len(rows)


# What BigQuery makes of these types of Parquet: INTEGER, FLOAT, STRING. An id is below 2^63, as its layer is.
OF_BIGQUERY = {"uint64", "uint32", "uint16", "uint8", "int64", "int32", "float", "double", "string"}


def test_columns_have_types_and_names_that_bigquery_takes(
    written: tuple[SQLiteStore, str], geometry: GraphGeometry, tmp_path: Path
) -> None:
    rows = all_rows(*written, geometry)
    (tmp_path / "rows.parquet").write_bytes(exported(rows, geometry))
    schema = pyarrow.parquet.read_schema(tmp_path / "rows.parquet")
    assert {str(field.type) for field in schema} <= OF_BIGQUERY
    assert [name for name in schema.names if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,127}", name)] == []
    assert int(rows.l2_ids.max()) < 2**63


def test_bigtable_gives_the_same_file_and_gets_the_same_cells(
    written: tuple[SQLiteStore, str], geometry: GraphGeometry, bigtable_clients: DataClients
) -> None:
    store, table = written
    rows = all_rows(store, table, geometry)
    content = exported(rows, geometry)
    with closing(BigtableStore("project", "instance", bigtable_clients)) as cloud:
        cloud.create_table(COPY, store.read_meta(table))
        imported(content, geometry, cloud)
        found = all_rows(cloud, COPY, geometry)
        assert list(found.rows()) == list(rows.rows())
        assert exported(found, geometry) == content


def test_readers_leave_out_groups_of_rows_by_id_and_by_place(
    written: tuple[SQLiteStore, str], geometry: GraphGeometry, tmp_path: Path
) -> None:
    store, table = written
    one = all_rows(store, table, geometry)
    # nine times as many nodes in the same chunks
    ids = np.concatenate([one.l2_ids + np.uint64(100_000 * turn) for turn in range(9)])
    order, places = np.argsort(ids), np.tile(np.arange(len(one)), 9)
    many = replace(
        one,
        l2_ids=ids[order],
        written_us=one.written_us[places][order],
        values={name: values[places][order] for name, values in one.values.items()},
        lengths={name: lengths[places][order] for name, lengths in one.lengths.items()},
    )
    path = tmp_path / "rows.parquet"
    path.write_bytes(exported(many, geometry))
    groups = duckdb.execute(
        "SELECT path_in_schema, row_group_id, stats_min_value::DOUBLE, stats_max_value::DOUBLE "
        "FROM parquet_metadata(?) WHERE path_in_schema IN ('l2_id', 'rep_coord_nm_x')",
        [str(path)],
    ).fetchall()
    n_groups = -(-len(many) // ROWS_PER_GROUP)
    assert (len(groups), n_groups) == (2 * n_groups, 4)

    def read(name: str, low: float, high: float) -> int:
        return sum(column == name and least <= high and most >= low for column, _, least, most in groups)

    first = float(many.l2_ids[0])
    assert read("l2_id", first, first) == 1
    x_nm = geometry.voxel_offset[0] * geometry.resolution_nm[0]
    assert read("rep_coord_nm_x", x_nm, x_nm + 500) <= 2
    rows = duckdb.read_parquet(str(path)).filter(f"l2_id = {many.l2_ids[77]}").fetchall()
    assert len(rows) == 1
