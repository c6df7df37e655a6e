"""The descriptions of look-up and ingest against the running routes and their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from shared.attributes import ATTRIBUTES
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.config.version import TITLE
from shared.errors import L2CacheError
from shared.ingest.control.description import describe_ingest
from shared.ingest.control.operation import AnswerKind
from shared.ingest.control.operations import OPERATIONS
from shared.lookup.description import describe_lookup
from shared.lookup.http import create_app
from shared.web.errors import STATUSES
from shared.web.openapi import errors
from tests.integration.test_lookup_function import CACHED, EXPECTED, IMPOSSIBLE, MISSING, VOXELLESS, small_world
from tests.integration.test_operations import SIZE, START
from tests.support.graph.small import GRAPH_ID, failing
from tests.support.ingest_server import app_of
from tests.support.ingest_site import Site
from tests.support.lookup_setup import ATTRIBUTES_PATH, World, json_of
from tests.support.openapi import Description, routes_of

API = "/l2cache/api/v1"
JSON = "application/json"


def lookup_settings(folder: Path, **changes: str) -> Settings:
    return Settings.from_environment({**World(folder, "http://127.0.0.1:1").environment, **changes})


def checked(description: Description, client: FlaskClient, method: str, target: str, **options: Any) -> TestResponse:
    """The answer to a request, which must be as it is described."""
    answer = client.open(target, method=method, **options)
    assert description.faults(method, target, answer.status_code, answer.headers, answer.data) == []
    return answer


@pytest.mark.parametrize("prefix", ["l2cache", "a/b", ""])
def test_every_route_of_the_look_up_is_described_and_every_described_one_exists(tmp_path: Path, prefix: str) -> None:
    settings = lookup_settings(tmp_path, PCGL2CACHE_URL_PREFIX=prefix or "/")
    unused: Any = None
    app = create_app(unused, Datasets.from_file(settings.datasets_file), unused, settings)
    description = Description(json_of(app.test_client().get("/openapi.json")))
    description.check()
    assert description.routes() == routes_of(app)


def test_every_route_of_ingest_is_described_and_every_described_one_exists(tmp_path: Path) -> None:
    app = app_of(Site(tmp_path).ingest, tmp_path, known=(*OPERATIONS, SIZE))
    description = Description(json_of(app.test_client().get("/openapi.json")))
    description.check()
    assert description.routes() == routes_of(app)
    assert ("GET", "/size") in description.routes()


def test_every_status_and_every_kind_of_answer_has_a_description() -> None:
    statuses = {answer.status for answer in STATUSES.values()}
    assert {answer.status for answer in errors(*statuses)} == statuses
    for kind in AnswerKind:
        Description(describe_ingest([replace(OPERATIONS[0], answer=kind)])).check()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    with small_world(tmp_path_factory.mktemp("openapi")) as world, pytest.MonkeyPatch.context() as monkeypatch:
        yield world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="0")


@pytest.fixture(scope="module")
def description(client: FlaskClient) -> Description:
    return Description(json_of(client.get("/l2cache/openapi.json")))


class TestLookUp:
    def test_it_is_linked_from_the_start_page(self, client: FlaskClient) -> None:
        for path in ("/l2cache", "/l2cache/", "/l2cache/index", "/l2cache/api/v1/"):
            start = client.get(path)
            assert start.text == TITLE
            assert start.headers["Link"].startswith('</l2cache/openapi.json>; rel="service-desc"')
        assert client.get("/l2cache/openapi.json").data == client.get("/openapi.json").data
        assert client.get("/openapi.json", headers={"Origin": "https://x.org"}).headers["Access-Control-Allow-Origin"]

    @pytest.mark.parametrize(
        "path",
        [
            *("/l2cache/", "/l2cache/index", f"{API}/", f"{API}/index", "/health", "/healthz"),
            *("/openapi.json", "/l2cache/openapi.json", f"{API}/table_mapping?colour=red"),
            *(f"{API}/attribute_metadata{query}" for query in ("", "?full=true", "?full=1&x=y", "?Full=1")),
        ],
    )
    def test_open_routes_answer_as_described(self, client: FlaskClient, description: Description, path: str) -> None:
        checked(description, client, "GET", path)

    @pytest.mark.parametrize("packed", [{}, {"Accept-Encoding": "gzip"}])
    @pytest.mark.parametrize(
        "query", ["", "?int64_as_str=true", "?attribute_names=pca,size_nm3&update_cache=false", "?colour=red"]
    )
    def test_nodes_are_answered_as_described(
        self, client: FlaskClient, description: Description, query: str, packed: dict[str, str]
    ) -> None:
        body = json.dumps({"l2_ids": [*CACHED, str(VOXELLESS), *MISSING, *IMPOSSIBLE]})
        answer = checked(description, client, "POST", ATTRIBUTES_PATH + query, data=body, headers=packed)
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        ("path", "body", "headers", "status"),
        [
            (ATTRIBUTES_PATH, b"[", {}, 400),
            (ATTRIBUTES_PATH + "?attributes=pca", b'{"l2_ids": []}', {}, 400),
            (f"{API}/table/nope/attributes", b'{"l2_ids": []}', {}, 404),
            (ATTRIBUTES_PATH, b'{"l2_ids": [%s1]}' % (b"1," * 100_000), {}, 413),
            (ATTRIBUTES_PATH, b'{"l2_ids": []}', {"Content-Encoding": "br"}, 415),
        ],
    )
    def test_errors_are_as_described(
        self,
        client: FlaskClient,
        description: Description,
        path: str,
        body: bytes,
        headers: dict[str, str],
        status: int,
    ) -> None:
        assert checked(description, client, "POST", path, data=body, headers=headers).status_code == status

    def test_limits_and_outages_are_as_described(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(tmp_path, "http://127.0.0.1:1")
        limited = world.client(monkeypatch, L2CACHE_REQUESTS_PER_MINUTE="1")
        description = Description(json_of(limited.get("/openapi.json")))
        body = json.dumps({"l2_ids": MISSING})
        answers = [checked(description, limited, "POST", ATTRIBUTES_PATH, data=body) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [503, 429]

    @hypothesis_settings(max_examples=40, deadline=None, database=None)
    @given(
        ids=st.lists(st.sampled_from([*CACHED, VOXELLESS, *MISSING]) | st.integers(0, 2**64 - 1), max_size=5),
        as_text=st.booleans(),
        names=st.none() | st.lists(st.sampled_from(ATTRIBUTES.names), min_size=1),
        options=st.dictionaries(
            st.sampled_from(["int64_as_str", "update_cache"]), st.sampled_from(["true", "False", "1", "0"])
        ),
    )
    def test_what_the_description_allows_is_answered_as_it_says(
        self, client: FlaskClient, ids: list[int], as_text: bool, names: list[str] | None, options: dict[str, str]
    ) -> None:
        description = Description(json_of(client.get("/openapi.json")))
        target = ATTRIBUTES_PATH + "?" + "&".join(f"{name}={value}" for name, value in options.items())
        document = {"l2_ids": [str(i) for i in ids] if as_text else ids, "attribute_names": names}
        body = json.dumps(document).encode()
        assert description.request_faults("POST", target, JSON, body) == []
        assert checked(description, client, "POST", target, data=body).status_code == 200

    @pytest.mark.parametrize(
        "wrong",
        [
            {"size_nm3": None},
            {"size_nm3": -1},
            {"rep_coord_nm": [1, 2]},
            {"pca": [[1, 0, 0], [0, 1, 0]]},
            {"area_nm2": "5"},
            {"colour": "red"},
            {"chunk_intersect_count": [[1.5, 0, 0], [0, 0, 0]]},
        ],
    )
    def test_another_answer_would_be_found_out(self, description: Description, wrong: dict[str, Any]) -> None:
        def faults(node: dict[str, Any], kind: str = JSON, **headers: str) -> list[str]:
            body = json.dumps({"144": node}).encode()
            return description.faults("POST", ATTRIBUTES_PATH, 200, {"Content-Type": kind, **headers}, body)

        assert faults(EXPECTED) == []
        assert faults({**EXPECTED, **wrong}) != []
        assert faults(EXPECTED, "text/html") != []
        assert faults(EXPECTED, **{"X-L2Cache-Colour": "red"}) != []
        assert description.faults("POST", ATTRIBUTES_PATH, 202, {}, b"") != []
        assert description.faults("GET", ATTRIBUTES_PATH, 200, {}, b"") != []

    def test_it_tells_the_limits(self, tmp_path: Path) -> None:
        document = describe_lookup(lookup_settings(tmp_path, L2CACHE_MAX_IDS="77", TOKEN_NAME="t"), ATTRIBUTES)  # noqa: S106
        ids = document["components"]["schemas"]["L2Ids"]["properties"]["l2_ids"]
        assert ids["anyOf"][0]["maxItems"] == 77
        assert document["components"]["securitySchemes"]["token_query"]["name"] == "t"


class TestIngest:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        return Site(tmp_path)

    @pytest.fixture
    def ingest(self, site: Site, tmp_path: Path) -> FlaskClient:
        return app_of(site.ingest, tmp_path).test_client()

    def test_it_is_linked_from_where_there_is_no_page(self, ingest: FlaskClient) -> None:
        for path, status in (("/", 405), ("/nope", 404)):
            answer = ingest.get(path)
            assert answer.status_code == status
            assert answer.headers["Link"].startswith('</openapi.json>; rel="service-desc"')
        assert "Link" not in ingest.get("/health").headers

    def test_a_run_is_answered_as_described_from_plan_to_end(self, site: Site, ingest: FlaskClient) -> None:
        description = Description(json_of(ingest.get("/openapi.json")))
        site.cache.volume.fail = failing(L2CacheError("odd"), (0, 0, 0), (1, 1, 1))
        about = {"dataset": GRAPH_ID}

        def post(path: str, status: int = 200, **document: Any) -> None:
            body = json.dumps(document).encode()
            if status != 400:
                assert description.request_faults("POST", path, JSON, body) == []
            assert checked(description, ingest, "POST", path, data=body).status_code == status

        def get(target: str, status: int = 200) -> None:
            assert checked(description, ingest, "GET", target).status_code == status

        box = {"bounding_box": [[0, 0, 0], [9e9, 9e9, 9e9]], "unit": "nm"}
        post("/plan", **START, **box, concurrency=5)
        get(f"/plan?dataset={GRAPH_ID}&bounding_box=0,0,0:9e9,9e9,9e9&unit=nm")
        get(f"/runs?dataset={GRAPH_ID}", 404)
        post("/start", **START, run=None)
        post("/start", 409, **START)
        site.drain()
        post("/status", **about, retrying=True)
        get(f"/failed?dataset={GRAPH_ID}&limit=1")
        post("/retry", **about)
        post("/", operation="status", dataset=GRAPH_ID, retrying=True)
        post("/cancel", **about)
        post("/", operation="runs", **about)
        post("/map", **about)
        get(f"/pace?dataset={GRAPH_ID}&generation=0")
        get("/overview?newest=2")
        post("/overview")
        post("/", 400, operation="dance")
        post("/start", 400, colour="red")
        for path in ("/operations", "/health", "/healthz", "/openapi.json"):
            get(path)
        post("/expand", 204)

    def test_an_audit_is_answered_as_described_from_plan_to_end(self, site: Site, ingest: FlaskClient) -> None:
        description = Description(json_of(ingest.get("/openapi.json")))
        site.start()
        site.drain()

        def post(path: str, **document: Any) -> Any:
            body = json.dumps({"dataset": GRAPH_ID, **document}).encode()
            assert description.request_faults("POST", path, JSON, body) == []
            answer = checked(description, ingest, "POST", path, data=body)
            assert answer.status_code == 200
            return json_of(answer)

        about = {"timestamp": START["timestamp"], "verify": 5, "repair": True}
        post("/plan_audit", **about, concurrency=5)
        run = post("/audit", **about)["run_id"]
        assert checked(description, ingest, "POST", "/audit", json=START).status_code == 409
        site.drain()
        assert post("/status", run=run, retrying=True)["audit"]["verified"]
        assert post("/coverage")["blocks"]
        post("/coverage", after=post("/coverage", limit=1)["next"] or None)
        post("/map", run=run, cells=2)
        post("/pace", run=run, steps=3)
        post("/", operation="coverage")
        post("/", operation="runs")
        checked(description, ingest, "GET", f"/coverage?dataset={GRAPH_ID}")
        assert checked(description, ingest, "POST", "/expand/audit").status_code == 204

    def test_what_is_refused_is_not_allowed_by_the_description(self, ingest: FlaskClient) -> None:
        description = Description(json_of(ingest.get("/openapi.json")))
        wrong: dict[str, Any]
        for wrong in (
            {},
            {"dataset": ""},
            {"dataset": GRAPH_ID, "unit": "feet"},
            {"dataset": GRAPH_ID, "bounding_box": [[1, 2, 3]]},
            {"dataset": GRAPH_ID, "test": "yes"},
            {"dataset": GRAPH_ID, "colour": "red"},
            {"dataset": GRAPH_ID, "timestamp": 5},
        ):
            body = json.dumps(wrong).encode()
            assert ingest.post("/start", data=body).status_code == 400
            assert description.request_faults("POST", "/start", JSON, body) != []
