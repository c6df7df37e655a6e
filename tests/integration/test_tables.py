"""Tables from the look-up function as it runs in production, as the programs read them that people use."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.features.result import Features
from shared.store.protocol import TableMeta
from tests.support.graph.servers import serving
from tests.support.lookup_setup import ATTRIBUTES_PATH, DATASET, TABLE, World, graph_app, json_of

INFO = {
    "data_dir": "file:///nowhere",
    "graph": {"chunk_size": [64, 64, 64], "spatial_bit_masks": {"1": 8, "2": 8, "3": 4}},
    "scales": [{"size": [250, 250, 250], "voxel_offset": [10, 20, 30], "resolution": [8, 8, 40]}],
}
FIRST = 2 << 56
LARGE, SMALL, VOXELLESS, MISSING, IMPOSSIBLE = FIRST | 1, FIRST | 2, FIRST | 5, FIRST | 9, 7
IDS = [LARGE, SMALL, VOXELLESS, MISSING, IMPOSSIBLE]
STATES = {LARGE: "cached", SMALL: "cached", VOXELLESS: "empty", MISSING: "pending", IMPOSSIBLE: "impossible"}
SIZES_NM3 = {LARGE: (2**32 - 1) * 2560, SMALL: 2560, VOXELLESS: 0, MISSING: None, IMPOSSIBLE: None}
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(graph_app(INFO)) as url:
        world = World(tmp_path, url)
        store = world.store
        store.create_table(TABLE, TableMeta(DATASET, world.cv_path, datetime(2026, 1, 1, tzinfo=UTC)))
        columns = {
            "size_nm3": np.array([2**32 - 1, 1], dtype=np.uint32),
            "area_nm2": np.array([10, 20], dtype=np.uint32),
            "max_dt_nm": np.array([1, 2], dtype=np.uint16),
            "mean_dt_nm": np.array([0.5, 0.1], dtype=np.float16),
            "rep_coord_nm": np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint16),
            "chunk_intersect_count": np.arange(12, dtype=np.uint16).reshape(2, 2, 3),
            "pca": np.stack([np.eye(3), np.zeros((3, 3))]).astype(np.float16),
            "pca_val": np.array([[3, 2, 1], [0, 0, 0]], dtype=np.float32),
            "has_pca": np.array([True, False]),
        }
        store.write_features(TABLE, Features(np.array([LARGE, SMALL], dtype=np.uint64), columns))
        store.write_voxelless(TABLE, np.array([VOXELLESS], dtype=np.uint64))
        store.close()
        yield world


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return world.client(monkeypatch)


def ask(client: FlaskClient, query: str = "", ids: list[int] | None = None, **headers: str) -> TestResponse:
    body = json.dumps({"l2_ids": ids if ids is not None else IDS})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(ATTRIBUTES_PATH + query, data=body, headers=named)


def table_of(response: TestResponse) -> pa.Table:
    assert response.status_code == 200, response.data
    assert response.headers["Content-Type"] == ARROW
    return pa.ipc.open_stream(response.data).read_all()


def forms(response: TestResponse) -> str:
    assert response.status_code == 200, response.data
    assert "Accept" in [name.strip() for name in response.headers["Vary"].split(",")]
    return str(response.mimetype)


class TestForm:
    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            ("*/*", "application/json"),
            ("image/png", "application/json"),
            ("application/json, text/plain, */*", "application/json"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
            (f"application/json, {ARROW}, text/csv", "application/json"),
            (f"{ARROW};q=0, */*", "application/json"),
            (ARROW, ARROW),
            (f"{ARROW}, */*", ARROW),
            (f"{ARROW};q=0.9, text/csv;q=0.8, application/json;q=0.1", ARROW),
            ("text/csv", "text/csv"),
            (f"{ARROW};q=0.1, text/csv;q=0.2", "text/csv"),
        ],
    )
    def test_the_client_gets_the_form_that_it_likes_best(self, client: FlaskClient, accept: str, form: str) -> None:
        assert forms(ask(client, Accept=accept)) == form

    @pytest.mark.parametrize(("name", "form"), [("json", "application/json"), ("arrow", ARROW), ("CSV", "text/csv")])
    def test_the_parameter_goes_before_the_header(self, client: FlaskClient, name: str, form: str) -> None:
        assert forms(ask(client, f"?format={name}", Accept=ARROW)) == form
        assert forms(ask(client, f"?format={name}", Accept="text/csv")) == form

    @pytest.mark.parametrize("value", ["parquet", "", "arrow&format=csv"])
    def test_an_unknown_form_is_refused_and_the_known_ones_are_named(
        self, client: FlaskClient, world: World, value: str
    ) -> None:
        refused = ask(client, f"?format={value}")
        assert refused.status_code == 400
        assert "it is one of json, arrow, csv" in json_of(refused)["message"]
        assert world.published() == []

    def test_json_is_what_it_was(self, client: FlaskClient) -> None:
        plain = ask(client)
        assert ask(client, "?format=json", Accept=ARROW).data == ask(client, Accept="*/*").data == plain.data
        assert json_of(plain)[str(VOXELLESS)] == {"size_nm3": 0}


class TestTable:
    def test_a_row_per_distinct_id_says_how_it_stands(self, client: FlaskClient, world: World) -> None:
        table = table_of(ask(client, "?format=arrow", [*IDS, *IDS]))
        ids = table["l2_id"].to_pylist()
        assert ids == sorted(IDS)
        assert dict(zip(ids, table["state"].to_pylist(), strict=True)) == STATES
        assert dict(zip(ids, table["size_nm3"].to_pylist(), strict=True)) == SIZES_NM3
        assert world.published_ids() == [MISSING]

    def test_nodes_without_voxels_are_known_whatever_is_asked_for(self, client: FlaskClient) -> None:
        table = table_of(ask(client, "?format=arrow&attribute_names=max_dt_nm"))
        assert table.column_names == ["l2_id", "state", "max_dt_nm"]
        assert dict(zip(table["l2_id"].to_pylist(), table["state"].to_pylist(), strict=True)) == STATES

    def test_nothing_is_published_if_the_client_says_so(self, client: FlaskClient, world: World) -> None:
        table = table_of(ask(client, "?format=arrow&update_cache=false", [MISSING]))
        assert table["state"].to_pylist() == ["missing"]
        assert world.published() == []

    def test_csv_has_the_same_rows_and_is_gzipped_as_json_is(self, client: FlaskClient) -> None:
        plain = ask(client, "?format=csv&update_cache=false")
        packed = ask(client, "?format=csv&update_cache=false", Accept_Encoding="gzip")
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == plain.data
        assert plain.headers["Content-Type"] == "text/csv; charset=utf-8"
        columns = pd.read_csv(io.BytesIO(plain.data), dtype_backend="pyarrow").to_dict("list")
        columns = {name: [None if pd.isna(v) else v for v in values] for name, values in columns.items()}
        assert columns == table_of(ask(client, "?format=arrow&update_cache=false")).to_pydict()

    @pytest.mark.parametrize(
        ("encodings", "compression"),
        [
            ("identity", None),
            ("gzip, deflate", None),
            ("gzip, *", None),
            ("zstd;q=0", None),
            ("gzip, deflate, br, zstd", "zstd"),
            ("lz4", "lz4"),
            ("zstd, lz4", "zstd"),
            ("zstd;q=0.5, LZ4", "lz4"),
        ],
    )
    def test_a_stream_is_compressed_once_inside(
        self, client: FlaskClient, encodings: str, compression: str | None
    ) -> None:
        many = [FIRST | i for i in range(1000, 2000)]
        response = ask(client, "?format=arrow&update_cache=false", many, Accept_Encoding=encodings)
        assert "Content-Encoding" not in response.headers
        assert {"Accept", "Accept-Encoding"} <= {name.strip() for name in response.headers["Vary"].split(",")}
        assert table_of(response).num_rows == len(many)
        plain = ask(client, "?format=arrow&update_cache=false", many, Accept_Encoding="identity").data
        magic = {"zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}
        assert {name for name, start in magic.items() if start in response.data} == ({compression} - {None})
        assert (len(response.data) < len(plain)) == (compression is not None)


def test_pandas_polars_and_duckdb_read_it_in_one_line_each(client: FlaskClient) -> None:
    import duckdb
    import polars

    content = ask(client, "?format=arrow", Accept_Encoding="zstd").data
    by_pandas = pa.ipc.open_stream(content).read_pandas()
    by_polars = polars.read_ipc_stream(content)
    by_duckdb = duckdb.from_arrow(pa.ipc.open_stream(content).read_all())
    sizes: list[Any] = [SIZES_NM3[i] for i in sorted(IDS)]
    states = [STATES[i] for i in sorted(IDS)]
    assert [None if pd.isna(size) else int(size) for size in by_pandas["size_nm3"]] == sizes
    assert by_polars["size_nm3"].to_list() == sizes
    assert by_duckdb.select("size_nm3").fetchall() == [(size,) for size in sizes]
    assert list(by_pandas["state"]) == by_polars["state"].cast(polars.String).to_list() == states
    assert by_duckdb.select("state").fetchall() == [(state,) for state in states]
