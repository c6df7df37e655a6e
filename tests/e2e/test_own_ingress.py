"""The routes of `infra/ingress`: CAVEclient through a real nginx, as in a deployment that has an ingress of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import requests
import yaml
from caveclient import CAVEclient
from caveclient.frameworkclient import CAVEclientFull

from infra.local.stack import LocalStack
from shared.config.settings import Settings
from tests.support.data.real_stack import GRAPH, TABLE
from tests.support.data.recorded_rows import Row
from tests.support.graph.servers import serving
from tests.support.processes.cave import DATASTACK, cave_deployment
from tests.support.processes.nginx import ROUTE, nginx_before

RESOLUTION_NM = [16, 16, 40]
TOKEN = "some-token"  # noqa: S105  # authentication is off; the client wants one
MIB = 1024**2


@pytest.fixture(scope="module")
def client(real_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CAVEclientFull]:
    """CAVEclient of a deployment in which nginx alone knows where the cache is."""
    folder = tmp_path_factory.mktemp("nginx")
    with (
        cave_deployment(real_stack.graph_url, "http://127.0.0.1:1", GRAPH, RESOLUTION_NM) as others,
        nginx_before(real_stack.lookup_url, others, folder) as address,
    ):
        yield CAVEclient(DATASTACK, server_address=address, auth_token=TOKEN, write_server_cache=False)


def test_caveclient_finds_the_cache_through_the_route(client: CAVEclientFull) -> None:
    assert client.l2cache.has_cache()
    assert client.l2cache.table_mapping()[GRAPH]["l2cache_id"] == TABLE
    assert "size_nm3" in client.l2cache.attributes


def test_caveclient_may_send_a_body_of_more_than_a_megabyte(client: CAVEclientFull, ingested: dict[int, Row]) -> None:
    l2_ids = sorted(ingested)
    asked = (l2_ids * 8)[:90_000]
    assert len(json.dumps({"l2_ids": asked})) > 1_500_000
    data = client.l2cache.get_l2data(asked, attributes=["size_nm3"])
    assert [int(l2_id) for l2_id in data] == l2_ids
    assert all(values["size_nm3"] > 0 for values in data.values())


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Address of an nginx, and what the function behind it is asked."""
    app, asked = flask.Flask("function"), list[dict[str, Any]]()

    @app.route("/<path:path>", methods=["GET", "POST"])
    def function(path: str) -> flask.Response:
        request = flask.request
        asked.append({"path": request.full_path, "headers": dict(request.headers), "bytes": len(request.get_data())})
        return flask.jsonify({"host": request.host})

    with serving(app) as url, nginx_before(url, "http://127.0.0.1:1", tmp_path) as address:
        asked.append({"host": url.removeprefix("http://")})
        yield address, asked


def test_the_function_is_asked_under_its_own_name_and_gets_everything_else_as_it_was_sent(
    seen: tuple[str, list[dict[str, Any]]],
) -> None:
    address, asked = seen
    url = f"{address}/l2cache/api/v1/table/a%20b/attributes?attribute_names=size_nm3&int64_as_str=true"
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    answer = requests.post(url, data=bytes(16 * MIB), headers=headers, timeout=60)
    assert answer.status_code == 200
    function, request = asked
    assert request["headers"]["Host"] == function["host"] == answer.json()["host"]
    assert request["path"] == "/l2cache/api/v1/table/a b/attributes?attribute_names=size_nm3&int64_as_str=true"
    assert {name: request["headers"][name] for name in headers} == headers
    assert request["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert request["bytes"] == 16 * MIB


def test_other_paths_are_none_of_the_functions(seen: tuple[str, list[dict[str, Any]]]) -> None:
    address, asked = seen
    assert requests.get(f"{address}/l2cachex/api/v1/table_mapping", timeout=60).status_code == 502
    assert len(asked) == 1


def test_both_routes_allow_the_bodies_that_the_function_allows() -> None:
    (allowed,) = re.findall(r"client_max_body_size (\d+)m;", ROUTE.read_text())
    assert int(allowed) * MIB == Settings.__dataclass_fields__["max_body_bytes"].default
    service, ingress = yaml.safe_load_all((ROUTE.parent / "kubernetes.yaml").read_text())
    options = {name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    assert options["proxy-body-size"] == f"{allowed}m"
    assert {service["spec"]["externalName"], options["upstream-vhost"], options["proxy-ssl-name"]} == {"LOOKUP_HOST"}
    assert options["backend-protocol"] == "HTTPS"
    assert options["proxy-ssl-server-name"] == "on"
    (route,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert route["path"] == "/l2cache/"
    assert route["backend"]["service"]["name"] == service["metadata"]["name"]
