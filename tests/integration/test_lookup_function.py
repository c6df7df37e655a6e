"""The look-up function as functions-framework runs it, on embedded store and bus, over a small made-up table."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.attributes import PCGL2CACHE_ATTRIBUTES
from shared.config.version import TITLE
from shared.errors import ConfigurationError
from shared.features.result import Features
from shared.store.protocol import TableMeta
from tests.support.graph.servers import serving
from tests.support.lookup_setup import ATTRIBUTES_PATH, DATASET, TABLE, World, graph_app, json_of, propagated

INFO = {
    "data_dir": "file:///nowhere",
    "graph": {"chunk_size": [64, 64, 64], "spatial_bit_masks": {"1": 8, "2": 8, "3": 4}},
    "scales": [{"size": [250, 250, 250], "voxel_offset": [10, 20, 30], "resolution": [8, 8, 40]}],
}


def l2_id(x: int, y: int, z: int, segment: int) -> int:
    return (2 << 56) | (x << 48) | (y << 40) | (z << 32) | segment


CACHED = [l2_id(0, 0, 0, 1), l2_id(0, 0, 0, 2), l2_id(3, 2, 1, 9)]
VOXELLESS = l2_id(1, 1, 1, 5)
MISSING = [l2_id(0, 0, 0, 77), l2_id(3, 3, 3, 1), l2_id(3, 3, 3, 2)]
IMPOSSIBLE = [0, 1, l2_id(4, 0, 0, 1), l2_id(0, 0, 255, 1), (1 << 56) | 5, (3 << 56) | 5, 2**64 - 1]


def small_features() -> Features:
    columns = {
        "size_nm3": np.array([1, 2, 2**32 - 1], dtype=np.uint32),
        "area_nm2": np.array([10, 20, 30], dtype=np.uint32),
        "max_dt_nm": np.array([1, 2, 3], dtype=np.uint16),
        "mean_dt_nm": np.array([0.5, 0.1, 100], dtype=np.float16),
        "rep_coord_nm": np.array([[1, 2, 3], [4, 5, 6], [63, 63, 63]], dtype=np.uint16),
        "chunk_intersect_count": np.arange(18, dtype=np.uint16).reshape(3, 2, 3),
        "pca": np.stack([np.eye(3), np.zeros((3, 3)), -np.eye(3)]).astype(np.float16),
        "pca_val": np.array([[3, 2, 1], [0, 0, 0], [0.1, 0, 0]], dtype=np.float32),
        "has_pca": np.array([True, False, True]),
    }
    return Features(np.array(CACHED, dtype=np.uint64), columns, PCGL2CACHE_ATTRIBUTES)


EXPECTED = {
    "area_nm2": 10,
    "chunk_intersect_count": [[0, 1, 2], [3, 4, 5]],
    "max_dt_nm": 1,
    "mean_dt_nm": 0.5,
    "pca": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "pca_val": [3, 2, 1],
    "rep_coord_nm": [88, 176, 1320],
    "size_nm3": 2560,
}


@contextmanager
def small_world(folder: Path) -> Iterator[World]:
    with serving(graph_app(INFO)) as url:
        world = World(folder, url)
        store = world.store
        store.create_table(TABLE, TableMeta(DATASET, world.cv_path, datetime(2026, 1, 1, tzinfo=UTC)))
        store.write_features(TABLE, small_features())
        store.write_voxelless(TABLE, np.array([VOXELLESS], dtype=np.uint64))
        store.close()
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with small_world(tmp_path) as world:
        yield world


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return world.client(monkeypatch)


def ask(client: FlaskClient, ids: Any, query: str = "", **options: Any) -> Any:
    response = client.post(ATTRIBUTES_PATH + query, data=json.dumps({"l2_ids": ids}), **options)
    assert response.status_code == 200, response.data
    return json_of(response)


class TestOpenRoutes:
    @pytest.mark.parametrize("path", ["", "/", "/index", "/api/v1", "/api/v1/", "/api/v1/index"])
    def test_the_index_tells_name_and_version(self, client: FlaskClient, path: str) -> None:
        response = client.get(f"/l2cache{path}")
        assert (response.status_code, response.text) == (200, TITLE)

    def test_attribute_metadata_lists_the_eight(self, client: FlaskClient) -> None:
        metadata = json_of(client.get("/l2cache/api/v1/attribute_metadata"))
        assert {name: metadata[name] for name in PCGL2CACHE_ATTRIBUTES.names} == {
            "area_nm2": "<class 'numpy.uint32'>",
            "chunk_intersect_count": "<class 'numpy.uint16'>",
            "max_dt_nm": "<class 'numpy.uint16'>",
            "mean_dt_nm": "<class 'numpy.float16'>",
            "pca": "<class 'numpy.float16'>",
            "pca_val": "<class 'numpy.float32'>",
            "rep_coord_nm": "<class 'numpy.uint16'>",
            "size_nm3": "<class 'numpy.uint32'>",
        }

    @pytest.mark.parametrize("query", ["", "?full=false", "?full=perhaps"])
    def test_it_keeps_its_form_unless_more_is_asked_for(self, client: FlaskClient, query: str) -> None:
        assert json_of(client.get(f"/l2cache/api/v1/attribute_metadata{query}"))["pca"] == "<class 'numpy.float16'>"

    def test_attribute_metadata_says_all_on_request(self, client: FlaskClient) -> None:
        full = json_of(client.get("/l2cache/api/v1/attribute_metadata?full=true"))
        assert list(full) == sorted(EXPECTED)
        assert full["chunk_intersect_count"] == {
            "unit": "voxels",
            "meaning": "voxels on the chunk's [low, high] faces across [x, y, z]",
            "stored": {"type": "uint16", "code": "<u2", "shape": [2, 3]},
            "answered": {"type": "uint16", "shape": [2, 3]},
            "optional": False,
        }
        assert {name for name, said in full.items() if said["optional"]} == {"pca", "pca_val"}
        size = full["size_nm3"]
        assert (size["unit"], size["stored"]["code"], size["answered"]["type"]) == ("nm3", "<u4", "uint64")

    def test_table_mapping_tells_the_datasets(self, client: FlaskClient, world: World) -> None:
        expected = {DATASET: {"cv_path": world.cv_path, "l2cache_id": TABLE}}
        assert json_of(client.get("/l2cache/api/v1/table_mapping")) == expected

    def test_health_is_told_without_asking_anybody(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        client = world.client(monkeypatch, L2CACHE_STORE="sqlite:///nowhere/at/all.db")
        assert json_of(client.get("/health"))["status"] == "ok"
        assert json_of(client.get("/healthz")) == json_of(client.get("/health"))

    def test_the_prefix_can_be_changed(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        client = world.client(monkeypatch, PCGL2CACHE_URL_PREFIX="other/cache")
        assert client.get("/other/cache/api/v1/table_mapping").status_code == 200
        assert client.get("/l2cache/api/v1/table_mapping").status_code == 404


class TestLookUp:
    def test_every_form_of_body_gets_the_same_answer(self, client: FlaskClient) -> None:
        ids = [*CACHED, VOXELLESS, *MISSING]
        plain = json.dumps({"l2_ids": ids}).encode()
        raw = struct.pack(f"<{len(ids)}Q", *ids)
        binary = {"Content-Type": "application/octet-stream"}
        packed = {"Content-Encoding": "gzip"}
        answers = [
            client.post(ATTRIBUTES_PATH, data=body, headers=headers)
            for body, headers in [
                (plain, {}),
                (json.dumps({"l2_ids": [[str(i) for i in ids]]}), {"Content-Type": "application/json"}),
                (plain, {"Content-Type": "application/x-www-form-urlencoded"}),
                (raw, binary),
                (raw, {"Content-Type": "Application/Octet-Stream; charset=binary"}),
                (gzip.compress(plain), packed),
                (gzip.compress(raw), {**binary, **packed}),
            ]
        ]
        assert {response.status_code for response in answers} == {200}
        assert len({response.data for response in answers}) == 1
        found = json_of(answers[0])
        assert list(found) == [str(i) for i in sorted(ids)]
        assert found[str(CACHED[0])] == EXPECTED
        assert "pca" not in found[str(CACHED[1])]
        assert found[str(CACHED[2])]["rep_coord_nm"] == [(10 + 192 + 63) * 8, (20 + 128 + 63) * 8, (30 + 64 + 63) * 40]
        assert found[str(VOXELLESS)] == {"size_nm3": 0}
        assert [found[str(i)] for i in MISSING] == [{}, {}, {}]

    def test_a_chunked_body_is_understood(self, client: FlaskClient) -> None:
        chunked = {"Transfer-Encoding": "chunked"}
        environ = {"wsgi.input_terminated": True}
        body = json.dumps({"l2_ids": CACHED}).encode()
        response = client.post(ATTRIBUTES_PATH, data=body, headers=chunked, environ_overrides=environ)
        assert list(json_of(response)) == [str(i) for i in CACHED]

    def test_a_subset_may_be_asked_for(self, client: FlaskClient) -> None:
        expected = {"rep_coord_nm": [88, 176, 1320], "size_nm3": 2560}
        assert ask(client, CACHED[0], "?attribute_names=size_nm3,%20rep_coord_nm") == {str(CACHED[0]): expected}

    def test_sizes_are_text_if_asked_for(self, client: FlaskClient) -> None:
        found = ask(client, CACHED[2], "?attribute_names=size_nm3&int64_as_str=true")
        assert found == {str(CACHED[2]): {"size_nm3": str((2**32 - 1) * 2560)}}

    def test_no_ids_are_answered_by_an_empty_object(self, client: FlaskClient, world: World) -> None:
        assert ask(client, []) == {}
        assert world.published() == []

    def test_an_answer_is_packed_on_request(self, client: FlaskClient) -> None:
        body = json.dumps({"l2_ids": CACHED})
        response = client.post(ATTRIBUTES_PATH, data=body, headers={"Accept-Encoding": "gzip"})
        assert response.headers["Content-Encoding"] == "gzip"
        assert json_of(response)[str(CACHED[0])] == EXPECTED


class TestMisses:
    def test_missing_ids_are_published_once_within_the_pause(self, client: FlaskClient, world: World) -> None:
        ask(client, [*CACHED, VOXELLESS, *MISSING[:2]])
        (message,) = world.published()
        assert (message.graph_id, message.l2cache_id) == (DATASET, TABLE)
        assert message.l2_ids.tolist() == sorted(MISSING[:2])
        ask(client, MISSING)
        assert world.published_ids() == MISSING[2:]

    def test_ids_that_cannot_exist_are_answered_empty_and_never_published(
        self, client: FlaskClient, world: World
    ) -> None:
        assert ask(client, [*IMPOSSIBLE, CACHED[0]]) == {
            str(i): EXPECTED if i == CACHED[0] else {} for i in sorted([*IMPOSSIBLE, CACHED[0]])
        }
        assert world.published() == []

    @pytest.mark.parametrize("value", ["false", "0", "FALSE"])
    def test_nothing_is_published_if_the_client_says_so(self, client: FlaskClient, world: World, value: str) -> None:
        assert ask(client, MISSING, f"?update_cache={value}") == {str(i): {} for i in MISSING}
        assert world.published() == []
        ask(client, MISSING, "?update_cache=maybe")
        assert world.published_ids() == MISSING

    def test_a_row_without_the_asked_for_cells_is_no_miss(self, client: FlaskClient, world: World) -> None:
        assert ask(client, [CACHED[1], VOXELLESS], "?attribute_names=pca") == {str(CACHED[1]): {}, str(VOXELLESS): {}}
        assert world.published() == []

    def test_a_message_holds_no_more_than_its_limit(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = [l2_id(0, 0, 0, segment) for segment in range(1000, 1100)]
        ask(world.client(monkeypatch, L2CACHE_MESSAGE_BYTES="240"), ids)
        messages = world.published()
        assert sorted(len(message.l2_ids) for message in messages) == [10, 30, 30, 30]
        assert sorted(i for message in messages for i in message.l2_ids.tolist()) == ids

    def test_a_table_that_does_not_exist_yet_counts_as_empty(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = world.client(monkeypatch, L2CACHE_STORE=f"sqlite://{world.folder}/new.db")
        with propagated(caplog):
            assert ask(client, CACHED) == {str(i): {} for i in CACHED}
        assert world.published_ids() == CACHED
        assert "the cache table does not exist yet" in caplog.messages


BAD_REQUESTS = {
    "empty body": (b"", {}, "", 400, "the body is empty"),
    "malformed JSON": (b'{"l2_ids":[1,', {}, "", 400, "the body is not JSON (line 1 column 14)"),
    "list body": (b"[1,2]", {}, "", 400, 'the key "l2_ids"'),
    "wrong key": (b'{"ids":[1]}', {}, "", 400, 'the key "l2_ids"'),
    "scalar body": (b"7", {}, "", 400, 'the key "l2_ids"'),
    "null": (b'{"l2_ids":null}', {}, "", 400, "null is not an unsigned 64-bit integer"),
    "negative": (b'{"l2_ids":[-1]}', {}, "", 400, "-1 is not"),
    "too long an id": (b'{"l2_ids":[18446744073709551616]}', {}, "", 400, "18446744073709551616 is not"),
    "too long an id as text": (b'{"l2_ids":["18446744073709551616"]}', {}, "", 400, "18446744073709551616 is not"),
    "fraction": (b'{"l2_ids":[1.5]}', {}, "", 400, "1.5 is not"),
    "float": (b'{"l2_ids":[1e17]}', {}, "", 400, "1e+17 is not"),
    "boolean": (b'{"l2_ids":[true]}', {}, "", 400, "true is not"),
    "object": (b'{"l2_ids":{"a":1}}', {}, "", 400, '{"a": 1} is not'),
    "word": (b'{"l2_ids":["abc"]}', {}, "", 400, '"abc" is not'),
    "deep": (b"[" * 9000, {}, "", 400, "nested too deeply"),
    "endless number": (b'{"l2_ids":[' + b"9" * 5000 + b"]}", {}, "", 400, "too many digits"),
    "raw ids as JSON": (struct.pack("<2Q", *CACHED[:2]), {}, "", 400, "application/octet-stream"),
    "no UTF-8": (b"\xff\xfe\xff", {}, "", 400, "the body is no"),
    "9 raw bytes": (bytes(9), {"Content-Type": "application/octet-stream"}, "", 400, "9 bytes"),
    "unknown attribute": (b'{"l2_ids":[]}', {}, "?attribute_names=nope", 400, "unknown attribute 'nope'"),
    "foreign attribute": (b'{"l2_ids":[]}', {}, "?attribute_names=size_nm3,parents", 400, "'parents'"),
    "no attribute": (b'{"l2_ids":[]}', {}, "?attribute_names=", 400, "unknown attribute ''"),
    "unknown attribute in the body": (b'{"l2_ids":[],"attribute_names":["nope"]}', {}, "", 400, "'nope'"),
    "empty attribute list": (b'{"l2_ids":[],"attribute_names":[]}', {}, "", 400, "attribute_names is empty"),
    "attributes of a wrong type": (b'{"l2_ids":[],"attribute_names":3}', {}, "", 400, "attribute_names must be"),
    "malformed gzip": (b'{"l2_ids":[]}', {"Content-Encoding": "gzip"}, "", 400, "not gzip"),
    "cut-off gzip": (gzip.compress(b'{"l2_ids":[]}')[:-9], {"Content-Encoding": "gzip"}, "", 400, "cut off"),
    "deflate": (b'{"l2_ids":[]}', {"Content-Encoding": "deflate"}, "", 415, "'deflate'"),
    "brotli": (b'{"l2_ids":[]}', {"Content-Encoding": "br"}, "", 415, "'br'"),
    "large body": (b" " * 10_001, {}, "", 413, "10001 bytes, at most 10000"),
    "gzip bomb": (gzip.compress(bytes(5_000_000)), {"Content-Encoding": "gzip"}, "", 413, "more than 10000 bytes"),
    "many ids": (b'{"l2_ids":[1' + b",1" * 100 + b"]}", {}, "", 413, "101 ids were asked for, at most 100"),
    "many raw ids": (bytes(808), {"Content-Type": "application/octet-stream"}, "", 413, "101 ids"),
}


class TestErrors:
    @pytest.fixture
    def client(self, world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
        return world.client(monkeypatch, L2CACHE_MAX_BODY_BYTES="10000", L2CACHE_MAX_IDS="100")

    @pytest.mark.parametrize("case", BAD_REQUESTS)
    def test_bad_input_is_refused_with_its_status_and_reason(
        self, client: FlaskClient, world: World, case: str
    ) -> None:
        body, headers, query, status, message = BAD_REQUESTS[case]
        response = client.post(ATTRIBUTES_PATH + query, data=body, headers=headers)
        assert response.status_code == status
        assert response.mimetype == "application/json"
        assert response.get_json()["code"] == status
        assert message in response.get_json()["message"]
        assert str(world.folder) not in response.text
        assert world.published() == []

    @pytest.mark.parametrize(
        ("as_body", "headers"),
        [
            (lambda ids: json.dumps({"l2_ids": [str(i) for i in ids], "attribute_names": list(EXPECTED)}).encode(), {}),
            (lambda ids: struct.pack(f"<{len(ids)}Q", *ids), {"Content-Type": "application/octet-stream"}),
        ],
        ids=["JSON", "raw"],
    )
    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("max_ids", ["200", "100000"])
    def test_as_many_ids_as_a_413_says_do_fit(
        self,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        as_body: Callable[[list[int]], bytes],
        headers: dict[str, str],
        packed: bool,
        max_ids: str,
    ) -> None:
        client = world.client(monkeypatch, L2CACHE_MAX_BODY_BYTES="10000", L2CACHE_MAX_IDS=max_ids)

        def send(count: int) -> TestResponse:
            body = as_body([2**64 - 1 - number for number in range(count)])
            options = {"data": gzip.compress(body), "headers": {**headers, "Content-Encoding": "gzip"}}
            return client.post(ATTRIBUTES_PATH, **(options if packed else {"data": body, "headers": headers}))

        refused = send(1500)
        assert refused.status_code == 413
        fitting = json_of(refused)["max_ids"]
        assert min(200, int(max_ids)) <= fitting <= 1250
        assert send(fitting).status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "/l2cache/api/v1/table/unknown/attributes", 404),
            ("GET", "/l2cache/api/v1/nope", 404),
            ("GET", "/nope", 404),
            ("GET", "/", 404),
            ("POST", f"{ATTRIBUTES_PATH}_binary", 404),
            ("POST", "/l2cache/api/v1/table/a/b/attributes", 404),
            ("GET", ATTRIBUTES_PATH, 405),
            ("PUT", ATTRIBUTES_PATH, 405),
            ("POST", "/l2cache/api/v1/table_mapping", 405),
        ],
    )
    def test_unknown_places_and_methods_are_refused_as_json(
        self, client: FlaskClient, method: str, path: str, status: int
    ) -> None:
        response = client.open(path, method=method, data=b'{"l2_ids":[1]}')
        assert (response.status_code, response.get_json()["code"]) == (status, status)
        assert ("Allow" in response.headers) is (status == 405)

    def test_an_unknown_dataset_is_named(self, client: FlaskClient) -> None:
        response = client.post("/l2cache/api/v1/table/unknown/attributes", data=b'{"l2_ids":[1]}')
        assert response.get_json()["message"] == "dataset unknown does not have an L2 cache"


class TestOutages:
    def test_storage_that_is_away_is_a_503_that_says_when_to_come_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = world.client(monkeypatch, L2CACHE_STORE=f"sqlite://{world.folder}", L2CACHE_RETRY_AFTER_S="23")
        response = client.post(ATTRIBUTES_PATH, json={"l2_ids": CACHED})
        assert (response.status_code, response.headers["Retry-After"]) == (503, "23")
        assert response.get_json() == {"code": 503, "message": "the storage cannot be reached just now"}

    def test_a_bus_that_is_away_fails_no_look_up(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = world.client(monkeypatch, L2CACHE_BUS=f"sqlite://{world.folder}")
        with propagated(caplog):
            found = ask(client, [CACHED[0], MISSING[0]])
        assert found == {str(CACHED[0]): EXPECTED, str(MISSING[0]): {}}
        assert "misses were not published" in caplog.messages
        fields = next(record.__dict__["fields"] for record in caplog.records if record.message == "request")
        assert (fields["misses"], fields["published"], fields["unpublished"]) == (1, 0, 1)

    def test_a_graph_server_that_is_away_is_a_503_and_no_lasting_damage(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(graph_app(INFO, refuse=True)) as url:
            other = World(world.folder, url)
            client = other.client(monkeypatch)
            response = client.post(ATTRIBUTES_PATH, json={"l2_ids": CACHED})
            assert response.status_code == 503
            assert "Retry-After" in response.headers
            assert url not in response.text


class TestBrowsers:
    def test_a_preflight_is_allowed(self, client: FlaskClient) -> None:
        response = client.options(
            ATTRIBUTES_PATH,
            headers={
                "Origin": "https://neuroglancer.org",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, content-type",
            },
        )
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] in ("*", "https://neuroglancer.org")
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
        assert "Allow" in response.headers

    @pytest.mark.parametrize("path", [ATTRIBUTES_PATH, "/l2cache/api/v1/nope", "/l2cache/api/v1/table_mapping"])
    def test_answers_and_errors_may_be_read_across_origins(self, client: FlaskClient, path: str) -> None:
        method = "POST" if path == ATTRIBUTES_PATH else "GET"
        for body in (b'{"l2_ids":[]}', b"bad"):
            response = client.open(path, method=method, data=body, headers={"Origin": "https://x.org"})
            assert response.headers["Access-Control-Allow-Origin"] in ("*", "https://x.org")
            exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"WWW-Authenticate", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining"} <= set(exposed)
            assert {"X-L2Cache-Missing", "Preference-Applied"} <= set(exposed)
            if response.headers["Access-Control-Allow-Origin"] != "*":
                assert {"origin", "accept-encoding"} <= set(response.vary.as_set())
        assert client.open(path, method=method).headers["Access-Control-Allow-Origin"] == "*"


class TestRecords:
    def test_a_request_leaves_one_record_with_counts_and_steps(
        self, client: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        with propagated(caplog):
            ask(
                client,
                [*CACHED, VOXELLESS, *MISSING, *IMPOSSIBLE],
                "?middle_auth_token=s3cret-in-query",
                headers={
                    "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
                    "Authorization": "Bearer s3cret-in-header",
                    "Cookie": "middle_auth_token=s3cret-in-cookie",
                },
            )
        (fields,) = [record.__dict__["fields"] for record in caplog.records if record.message == "request"]
        counts = {"dataset": DATASET, "ids": 14, "impossible": 7, "hits": 4, "misses": 3, "published": 3}
        assert counts.items() <= fields.items()
        assert {"status": 200, "trace": trace, "route": "attributes"}.items() <= fields.items()
        assert {"parse_ms", "geometry_ms", "read_ms", "encode_ms", "publish_ms", "total_ms"} <= set(fields)
        assert "s3cret" not in caplog.text + repr([record.__dict__ for record in caplog.records])

    def test_a_refused_request_leaves_a_record_too(self, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
        with propagated(caplog):
            client.post(ATTRIBUTES_PATH, data=b"bad")
        (fields,) = [record.__dict__["fields"] for record in caplog.records if record.message == "request"]
        assert {"status": 400, "dataset": DATASET}.items() <= fields.items()


class TestConfiguration:
    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"L2CACHE_DATASETS": ""}, "L2CACHE_DATASETS"),
            ({"L2CACHE_DATASETS": "/nowhere.yaml"}, "L2CACHE_DATASETS"),
            ({"L2CACHE_STORE": ""}, "L2CACHE_STORE"),
            ({"L2CACHE_MAX_IDS": "many"}, "L2CACHE_MAX_IDS"),
            ({"AUTH_DISABLED": "", "AUTH_URL": "", "AUTH_URI": ""}, "AUTH_URL"),
        ],
    )
    def test_what_is_missing_or_wrong_is_named_when_the_function_is_loaded(
        self, world: World, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], named: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=named):
            world.client(monkeypatch, **changes)
