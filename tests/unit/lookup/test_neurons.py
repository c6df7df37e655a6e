"""Totals of whole neurons over HTTP: a real store and memory in files, and a graph that a test makes up."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import flask
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.attributes import VOXELLESS_SIZE
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.errors import GraphUnavailableError, StorageUnavailableError
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout, node_key
from shared.graph.protocol import RootNodes
from shared.lookup.http import create_app
from shared.lookup.misses import MissPublisher
from shared.lookup.service import LookupService
from shared.messages.messages import MissMessage, decode
from shared.store.sqlite_totals import SQLiteTotals
from shared.store.table_format import Cell
from shared.types import UInt64Array
from shared.web.openapi import JSON
from tests.support.lookup_setup import DATASET, TABLE, World, json_of
from tests.support.openapi import Description

GEOMETRY = GraphGeometry(
    IdLayout(8, ((1, 8), (2, 8), (3, 4))), (64,) * 3, (0,) * 3, (128,) * 3, (8.0, 8.0, 40.0), 0, ""
)
VOXEL_NM3 = 8 * 8 * 40
PATH = f"/l2cache/api/v1/table/{DATASET}/totals"
L2 = [(2 << 56) | segment for segment in range(1, 9)]
FAR = (2 << 56) | (1 << 48) | 1
ROOT, SMALL, LACKING, UNKNOWN = ((3 << 56) | segment for segment in range(4))
ROOTS = {ROOT: [*L2[:4], FAR], SMALL: L2[:1], LACKING: [L2[0], L2[5], L2[6]]}
SIZES = {L2[0]: 5, L2[1]: 7, L2[2]: 7, FAR: 2}


class Rig:
    """A function's parts; `graph_asked` and `published` tell what it did."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, "http://127.0.0.1:1")
        self.store = self.world.store
        self.graph_asked: list[int] = []
        self.published: list[int] = []
        self.graph_away = False
        self.write(SIZES)
        self.store.put_cells(TABLE, [Cell(node_key(L2[3]), "0", "size_nm3", 0, VOXELLESS_SIZE)])

    def write(self, sizes: dict[int, int]) -> None:
        """Rows of these nodes; the number of voxels makes the rest, too."""
        for l2_id, voxels in sizes.items():
            numbers = {"size_nm3": (voxels, "<u4"), "area_nm2": (3 * voxels, "<u4"), "max_dt_nm": (voxels, "<u2")}
            cells = {name: np.array(value, kind).tobytes() for name, (value, kind) in numbers.items()}
            cells["rep_coord_nm"] = np.array([voxels, 0, 1], "<u2").tobytes()
            self.store.put_cells(TABLE, [Cell(node_key(l2_id), "0", name, 0, value) for name, value in cells.items()])

    def get(self, _dataset: object) -> Rig:
        return self

    def geometry(self) -> GraphGeometry:
        return GEOMETRY

    def l2_ids_of_roots(self, root_ids: UInt64Array) -> RootNodes:
        if self.graph_away:
            raise GraphUnavailableError("away")
        self.graph_asked += root_ids.tolist()
        nodes = {root: np.array(sorted(ROOTS[root]), np.uint64) for root in root_ids.tolist() if root in ROOTS}
        return RootNodes(nodes, {root: "unknown" for root in root_ids.tolist() if root not in ROOTS})

    def publish(self, attributes: Any, data: bytes) -> None:
        message = decode(attributes, data)
        assert isinstance(message, MissMessage)
        self.published += message.l2_ids.tolist()

    def close(self) -> None:
        pass

    def client(self, memory: Callable[[], Any] | None = None, refuse: Any = None, **changes: str) -> FlaskClient:
        """A new instance of the function."""
        settings = Settings.from_environment({**self.world.environment, **changes})
        service: Any = LookupService(self.store, self, MissPublisher(self, pause_s=0.0, message_bytes=8000))  # type: ignore[arg-type]
        recalled = memory or (lambda: SQLiteTotals(self.world.folder / "cache.db"))
        datasets = Datasets.from_file(settings.datasets_file)
        app = create_app(lambda: service, datasets, lambda _: refuse, settings, memory=recalled)
        return app.test_client()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.store.close()


def post(client: FlaskClient, *roots: Any, query: str = "", **fields: Any) -> TestResponse:
    return client.post(PATH + query, json={"node_ids": list(roots), **fields})


def totals(client: FlaskClient, *roots: Any, query: str = "", **fields: Any) -> dict[int, dict[str, Any]]:
    response = post(client, *roots, query=query, **fields)
    assert response.status_code == 200, response.data
    return {int(root): total for root, total in json_of(response).items()}


def test_a_neuron_is_summed_up(rig: Rig) -> None:
    found = totals(rig.client(), str(ROOT), ROOT, UNKNOWN, L2[0], 1 << 56, 77)
    assert found[ROOT] == {
        "n_l2": 5,
        "n_cached": 4,
        "n_empty": 1,
        "n_missing": 0,
        "complete": True,
        "size_nm3": (5 + 7 + 7 + 2) * VOXEL_NM3,
        "area_nm2": 3 * (5 + 7 + 7 + 2),
        "max_dt_nm": 7,
        "bounds_nm": [[40, 0, 40], [(64 + 2) * 8, 0, 40]],
        "rep_coord_nm": [56, 0, 40],
        "rep_l2_id": L2[1],
        "error": None,
    }
    said = {root: total["error"] for root, total in found.items() if total["error"]}
    assert said == {
        UNKNOWN: "unknown",
        L2[0]: "this is an L2 node: ask for its attributes",
        1 << 56: "this is a supervoxel",
        77: "the graph has no nodes of this layer",
    }
    assert all(value is None for name, value in found[UNKNOWN].items() if name != "error")
    assert rig.graph_asked == [ROOT, UNKNOWN]
    assert rig.published == []


def test_a_complete_total_is_remembered_by_all_instances_and_for_ever(rig: Rig) -> None:
    first = totals(rig.client(), ROOT, SMALL)
    rig.graph_asked.clear()
    rig.write({L2[0]: 9})  # no such thing happens: a row is what its node is
    assert totals(rig.client(), SMALL, ROOT, query="?update_cache=false") == first
    assert rig.graph_asked == []
    assert totals(rig.client(), ROOT, bounds=[[0, 0, 0], [1e6, 1e6, 1e6]])[ROOT]["size_nm3"] > first[ROOT]["size_nm3"]


def test_what_is_missing_is_published_and_its_total_not_remembered(rig: Rig) -> None:
    found = totals(rig.client(), LACKING, SMALL, query="?update_cache=false")
    assert rig.published == []
    assert totals(rig.client(), LACKING) == {LACKING: found[LACKING]}
    assert sorted(rig.published) == [L2[5], L2[6]]
    assert found[SMALL]["complete"]
    assert (found[LACKING]["complete"], found[LACKING]["n_missing"]) == (False, 2)
    assert found[LACKING]["size_nm3"] == 5 * VOXEL_NM3
    rig.write({L2[5]: 1, L2[6]: 2})
    assert totals(rig.client(), LACKING)[LACKING]["size_nm3"] == 8 * VOXEL_NM3
    rig.graph_away = True
    assert totals(rig.client(), LACKING)[LACKING]["complete"]


def test_totals_within_bounds_are_those_of_the_nodes_inside_and_not_remembered(rig: Rig) -> None:
    box = [[0, 0, 0], [512, 1e6, 1e6]]
    found = totals(rig.client(), ROOT, SMALL, bounds=box)
    assert found[ROOT]["n_cached"] == 3
    assert found[ROOT]["size_nm3"] == (5 + 7 + 7) * VOXEL_NM3
    outside = totals(rig.client(), ROOT, bounds=[[5000, 0, 0], [6000, 1, 1]])[ROOT]
    assert (outside["n_l2"], outside["complete"], outside["size_nm3"], outside["bounds_nm"]) == (0, True, 0, None)
    assert totals(rig.client(), ROOT)[ROOT]["n_cached"] == 4


def test_64_bit_integers_are_text_where_that_is_asked_for(rig: Rig) -> None:
    total = totals(rig.client(), ROOT, query="?int64_as_str=true")[ROOT]
    assert total["size_nm3"] == str(21 * VOXEL_NM3)
    assert total["rep_l2_id"] == str(L2[1])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"root_ids": [1]}, "node_ids"),
        ({"node_ids": [-1]}, "-1 is not an unsigned"),
        ({"node_ids": ["x"]}, "is not an unsigned"),
        ({"node_ids": [1], "bounds": [[0, 0, 0]]}, "bounds must be two points"),
        ({"node_ids": [1], "bounds": [[0, 0, 0], [1, 1, "1"]]}, "bounds must be two points"),
        ({"node_ids": [1], "bounds": [[0, 0, 0], [1, 1, True]]}, "bounds must be two points"),
        ({"node_ids": [1], "bounds": [[0, 0, 0], [1, 1, float("nan")]]}, "bounds must be two points"),
        ({"node_ids": [1], "bounds": [[0, 0, 2], [1, 1, 2]]}, "a lower corner and a higher one"),
    ],
)
def test_a_request_that_cannot_be_understood_is_refused(rig: Rig, body: dict[str, Any], said: str) -> None:
    response = rig.client().post(PATH, json=body)
    assert response.status_code == 400
    assert said in json_of(response)["message"]


def test_no_more_than_a_thousand_roots_and_no_more_nodes_than_fit(rig: Rig) -> None:
    refused = post(rig.client(), *range(1001))
    assert refused.status_code == 413
    assert "at most 1000" in json_of(refused)["message"]
    small = rig.client(L2CACHE_MAX_TOTAL_NODES="6")
    refused = post(small, SMALL, ROOT, LACKING)
    assert refused.status_code == 413
    assert "ask for 2 roots at a time" in json_of(refused)["message"]
    assert json_of(refused)["max_ids"] == 2
    assert set(totals(small, *sorted([SMALL, ROOT, LACKING])[:2])) == {ROOT, SMALL}
    tiny = rig.client(L2CACHE_MAX_TOTAL_NODES="2")
    assert "ask for parts of it by bounds" in json_of(post(tiny, LACKING))["message"]


def test_nobody_sees_totals_without_the_permission_to_view(rig: Rig) -> None:
    assert post(rig.client(refuse=flask.Response(status=403)), ROOT).status_code == 403
    assert rig.graph_asked == []


def test_ids_that_are_looked_up_count_against_the_callers_limit(rig: Rig) -> None:
    client = rig.client(L2CACHE_IDS_PER_MINUTE="7")
    assert post(client, ROOT).status_code == 200  # a root and five nodes
    assert post(client, ROOT).status_code == 200  # remembered
    assert post(client, LACKING).status_code == 429


def test_a_graph_that_is_away_is_no_error_of_a_root(rig: Rig) -> None:
    rig.graph_away = True
    assert post(rig.client(), ROOT).status_code == 503


def test_totals_are_answered_without_the_memory(rig: Rig) -> None:
    class Away:
        def read(self, *_: object) -> dict[int, bytes]:
            raise StorageUnavailableError("away")

        write = read

    for memory in (Away,):
        client = rig.client(memory)
        assert totals(client, SMALL) == totals(client, SMALL)
    assert rig.graph_asked == [SMALL, SMALL]


def test_nodes_are_read_in_parts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = totals(rig.client(), ROOT, LACKING, bounds=[[0, 0, 0], [1e6, 1e6, 1e6]])
    monkeypatch.setattr("shared.lookup.node_reader.NodeReader.__init__.__defaults__", (2,))
    assert totals(rig.client(), ROOT, LACKING, bounds=[[0, 0, 0], [1e6, 1e6, 1e6]]) == whole


def test_what_is_missing_is_waited_for_and_told_in_headers(rig: Rig) -> None:
    asked = post(rig.client(), LACKING, query="?update_cache=false")
    assert asked.headers["X-L2Cache-Missing"] == "2"
    assert "X-L2Cache-Waited" not in asked.headers

    def compute_at_once(attributes: Any, data: bytes) -> None:
        message = decode(attributes, data)
        assert isinstance(message, MissMessage)
        rig.write(dict.fromkeys(message.l2_ids.tolist(), 4))

    rig.publish = compute_at_once  # type: ignore[method-assign]
    waited = post(rig.client(), LACKING, SMALL, query="?wait=20")
    assert json_of(waited)[str(LACKING)]["size_nm3"] == 13 * VOXEL_NM3
    assert json_of(waited)[str(LACKING)]["complete"]
    assert (waited.headers["X-L2Cache-Missing"], waited.headers["X-L2Cache-Pending"]) == ("0", "0")
    assert float(waited.headers["X-L2Cache-Waited"]) < 20
    rig.graph_away = True
    assert json_of(post(rig.client(), LACKING)) == {str(LACKING): json_of(waited)[str(LACKING)]}
    assert post(rig.client(), LACKING, query="?wait=31").status_code == 400


def test_names_that_mean_nothing_are_told(rig: Rig) -> None:
    response = post(rig.client(), SMALL, query="?foo=1", box=[])
    assert response.headers["X-L2Cache-Ignored"] == "foo, box"


class TestTables:
    ARROW = "application/vnd.apache.arrow.stream"

    def test_a_table_is_answered_to_who_asks_for_it_in_the_query_or_by_accept(self, rig: Rig) -> None:
        client = rig.client()
        plain = totals(client, ROOT, LACKING, UNKNOWN, query="?update_cache=false&int64_as_str=true")
        for query, accept in (("&format=arrow", "*/*"), ("", self.ARROW), ("&format=arrow", "text/csv")):
            asked = {"node_ids": [ROOT, LACKING, UNKNOWN]}
            answer = client.post(f"{PATH}?update_cache=false{query}", json=asked, headers={"Accept": accept})
            assert answer.headers["Content-Type"] == self.ARROW
            assert "Accept" in answer.headers["Vary"]
            assert answer.headers["X-L2Cache-Missing"] == "2"
            table = polars.read_ipc_stream(answer.data)
            assert table["root_id"].to_list() == [ROOT, LACKING, UNKNOWN]
            assert table["n_missing"].to_list() == [0, 2, None]
            assert table["error"].to_list() == [None, None, "unknown"]
            assert [None if size is None else str(size) for size in table["size_nm3"]] == [
                total["size_nm3"] for total in plain.values()
            ]
        assert rig.published == []

    def test_pandas_polars_and_duckdb_read_it_in_one_line_each(self, rig: Rig) -> None:
        stream = post(rig.client(), ROOT, UNKNOWN, query="?format=arrow").data
        sizes = [21 * VOXEL_NM3, None]
        by_pandas = pa.ipc.open_stream(stream).read_pandas()
        assert [None if pd.isna(size) else int(size) for size in by_pandas["size_nm3"]] == sizes
        assert polars.read_ipc_stream(stream)["size_nm3"].to_list() == sizes
        by_duckdb = duckdb.from_arrow(pa.ipc.open_stream(stream).read_all())
        assert by_duckdb.select("size_nm3").fetchall() == [(size,) for size in sizes]

    def test_csv_is_gzipped_and_a_stream_is_not(self, rig: Rig) -> None:
        client = rig.client()
        packed = {"Accept-Encoding": "gzip, zstd"}
        csv, arrow = (
            client.post(f"{PATH}?format={form}", json={"node_ids": [SMALL]}, headers=packed)
            for form in ("csv", "arrow")
        )
        assert csv.headers["Content-Encoding"] == "gzip"
        assert (
            gzip.decompress(csv.data).decode().splitlines()[1].startswith(f"{SMALL},1,1,0,0,true,{5 * VOXEL_NM3},15,5,")
        )
        assert "Content-Encoding" not in arrow.headers
        assert polars.read_ipc_stream(arrow.data)["complete"].to_list() == [True]

    def test_another_form_is_refused(self, rig: Rig) -> None:
        refused = post(rig.client(), SMALL, query="?format=parquet")
        assert refused.status_code == 400
        assert "it is one of json, arrow, csv" in json_of(refused)["message"]


@pytest.mark.parametrize(
    "query", ["", "?int64_as_str=1", "?format=arrow", "?format=csv&wait=0.1", "?wait=x", "?format=xml"]
)
@pytest.mark.parametrize("prefer", ["", "wait=1"])
def test_answers_are_as_they_are_described(rig: Rig, query: str, prefer: str) -> None:
    client = rig.client(L2CACHE_IDS_PER_MINUTE="20")
    description = Description(json_of(client.get("/openapi.json")))
    for roots, status in (([ROOT, SMALL, UNKNOWN, 77], 200), ([*range(1001)], 413), ([LACKING, *range(16)], 429)):
        answer = client.post(PATH + query, json={"node_ids": roots}, headers={"Prefer": prefer})
        assert answer.status_code == (400 if "=x" in query else status)
        assert description.faults("POST", PATH + query, answer.status_code, answer.headers, answer.data) == []
    assert description.request_faults("POST", f"{PATH}?wait=1&format=csv", JSON, b'{"node_ids": [1]}') == []
