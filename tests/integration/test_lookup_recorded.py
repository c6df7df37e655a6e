"""The look-up over PCGL2Cache's own table: recorded requests, and the real CAVEclient against a running server."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caveclient.auth import AuthClient
from caveclient.l2cache import L2CacheClient
from flask.testing import FlaskClient
from requests.exceptions import HTTPError

from shared.attributes import ATTRIBUTES
from tests.support.data.cache_dumps import restore
from tests.support.graph.servers import serving
from tests.support.lookup_setup import DATASET, TABLE, World, graph_app, json_of

# `attribute_metadata` lists what is ours alone; `parents` is an unknown attribute here; `options` has no body.
EXCEPTIONS = ("attribute_metadata", "meta_gzip", "attr_foreign_registered", "options")


@pytest.fixture(scope="module")
def world(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    info = json.loads((shared_data / "graphene_info.json").read_text())
    with serving(graph_app(info)) as url:
        world = World(tmp_path_factory.mktemp("recorded"), url)
        store = world.store
        assert restore(shared_data / "tables" / "cache_ingested.ndjson.gz", store) == TABLE
        store.close()
        yield world


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return world.client(monkeypatch)


def body_of(message: dict[str, Any]) -> bytes:
    body = message["body"] or {}
    return base64.b64decode(body["base64"]) if "base64" in body else body.get("text", "").encode()


def replay(client: FlaskClient, request: dict[str, Any]) -> Any:
    headers = {k: v for k, v in request["headers"].items() if k not in ("Content-Length", "Host", "Connection")}
    return client.open(request["path"], method=request["method"], data=body_of(request), headers=headers)


def recorded_value(response: dict[str, Any]) -> Any:
    packed = response["headers"].get("Content-Encoding") == "gzip"
    return json.loads(gzip.decompress(body_of(response)) if packed else body_of(response))


def test_recorded_requests_get_the_recorded_values(world: World, client: FlaskClient, shared_data: Path) -> None:
    exchanges = json.loads((shared_data / "http" / "l2cache_requests.json").read_text())
    compared = 0
    for exchange in exchanges:
        recorded = exchange["response"]
        answer = replay(client, exchange["request"])
        assert answer.status_code < 500, exchange["name"]
        if recorded["status"] != 200 or exchange["name"] in EXCEPTIONS:
            continue
        assert answer.status_code == 200, exchange["name"]
        origin, exposed = "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"
        assert answer.headers[origin] == recorded["headers"][origin], exchange["name"]
        assert recorded["headers"][exposed] in answer.headers[exposed].split(", "), exchange["name"]
        if "index" in exchange["name"]:
            continue
        expected = recorded_value(recorded)
        if exchange["name"] == "table_mapping":
            expected[DATASET]["cv_path"] = world.cv_path
        assert json_of(answer) == expected, exchange["name"]
        assert list(json_of(answer)) == list(expected), exchange["name"]
        compared += 1
    assert compared >= 25


def test_what_was_recorded_as_an_error_of_the_server_is_one_of_the_client(
    client: FlaskClient, shared_data: Path
) -> None:
    exchanges = json.loads((shared_data / "http" / "l2cache_requests.json").read_text())
    statuses = {
        e["name"]: replay(client, e["request"]).status_code for e in exchanges if e["response"]["status"] == 500
    }
    answered = {name for name, status in statuses.items() if status == 200}
    assert answered == {"zero_id", "zero_and_l2", "form_content_type", "binary_uint64"}
    assert {status for name, status in statuses.items() if name not in answered} == {400, 404}


def test_recorded_caveclient_traffic_gets_the_recorded_values(client: FlaskClient, shared_data: Path) -> None:
    lines = (shared_data / "http" / "l2cache_caveclient.jsonl").read_text().splitlines()
    compared = 0
    for exchange in map(json.loads, lines):
        answer = replay(client, exchange["request"])
        path = exchange["request"]["path"]
        if exchange["response"]["status"] == 500:
            assert answer.status_code in (400, 404)
        elif not path.endswith(("attribute_metadata", "table_mapping")):
            assert json_of(answer) == recorded_value(exchange["response"])
            compared += 1
    assert compared >= 6


class TestCaveClient:
    @pytest.fixture
    def cave(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[L2CacheClient]:
        application = world.client(monkeypatch).application
        with serving(application) as url:
            yield L2CacheClient(server_address=url, table_name=DATASET, auth_client=AuthClient(token="none"))  # noqa: S106

    def test_it_finds_the_cache(self, cave: L2CacheClient, world: World) -> None:
        assert cave.table_mapping() == {DATASET: {"cv_path": world.cv_path, "l2cache_id": TABLE}}
        assert sorted(cave.attributes) == list(ATTRIBUTES.names)

    def test_it_gets_every_row_and_a_table_of_them(self, cave: L2CacheClient, world: World) -> None:
        ids = sorted({int(cell.row_key) for cell in world.store.cells(TABLE) if cell.row_key.isdigit()})
        assert len(ids) == 12_174
        found = cave.get_l2data(np.array(ids, dtype=np.uint64))
        assert list(found) == [str(i) for i in ids]
        table = cave.get_l2data_table(ids[:200], attributes=["size_nm3", "rep_coord_nm"])
        assert table["size_nm3"].tolist() == [found[str(i)]["size_nm3"] for i in ids[:200]]
        assert {"rep_coord_nm_x", "rep_coord_nm_y", "rep_coord_nm_z"} <= set(table.columns)

    def test_its_errors_tell_the_reason(self, cave: L2CacheClient) -> None:
        with pytest.raises(HTTPError, match=r"400 .*unknown attribute .*nope"):
            cave.get_l2data([1], attributes=["nope"])
