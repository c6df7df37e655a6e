"""The look-up function in its real server process, with middle-auth-client asking a stand-in authentication service."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask
import numpy as np
import pytest
import requests

from shared.store.protocol import PENDING, NodeState, TableMeta
from tests.integration.test_lookup_function import CACHED, INFO, MISSING, small_features
from tests.support.graph.servers import serving
from tests.support.lookup_setup import ATTRIBUTES_PATH, DATASET, TABLE, World, graph_app
from tests.support.processes.auth_service import NOBODY, STRANGER, VIEWER, AuthService, serving_tls
from tests.support.processes.server import ROOT, SOURCES, running

MAX_BODY_BYTES = 1_000_000


@dataclass
class Server:
    """A running look-up function."""

    url: str
    log: Path
    auth: AuthService

    def post(self, body: Any = None, token: str | None = None, query: str = "", **options: Any) -> requests.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        data = json.dumps({"l2_ids": CACHED}).encode() if body is None else body
        url = self.url + ATTRIBUTES_PATH + query
        return requests.post(url, data=data, headers=headers, timeout=30, allow_redirects=False, **options)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    auth = AuthService(DATASET)
    with serving(graph_app(INFO)) as graph_url, serving_tls(auth.app(), folder) as (auth_url, certificate):
        world = World(folder, graph_url)
        store = world.store
        store.create_table(TABLE, TableMeta(DATASET, world.cv_path, datetime(2026, 1, 1, tzinfo=UTC)))
        store.write_features(TABLE, small_features())
        store.close()
        environment = {
            **world.environment,
            "AUTH_DISABLED": "false",
            "AUTH_URL": auth_url,
            "REQUESTS_CA_BUNDLE": certificate,
            "L2CACHE_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
            "L2CACHE_LOG_LEVEL": "DEBUG",
        }
        with running("lookup", environment, folder / "log") as url:
            yield Server(url, folder / "log", auth)


class TestAuthentication:
    def test_without_a_token_nothing_is_told(self, server: Server) -> None:
        response = server.post()
        assert response.status_code == 401
        assert response.json()["code"] == 401
        assert response.json()["message"]
        assert response.headers["WWW-Authenticate"].startswith('Bearer realm="https://')
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"WWW-Authenticate", "Retry-After"} <= set(exposed)

    def test_no_caller_is_sent_to_a_login_page(self, server: Server) -> None:
        for headers in ({"X-Requested-With": ""}, {"X-Requested-With": "", "Accept": "text/html"}):
            assert server.post(headers=headers).status_code == 401
            assert server.post(query=f"?middle_auth_token={VIEWER}", headers=headers).status_code == 200

    @pytest.mark.parametrize("token", [NOBODY, "%22", "a b"])
    def test_an_unknown_token_is_refused(self, server: Server, token: str) -> None:
        response = server.post(token=token)
        assert (response.status_code, response.json()["code"]) == (401, 401)
        assert "invalid_token" in response.headers["WWW-Authenticate"]

    @pytest.mark.parametrize("token", ["s3cret%0Ab", "%20s3cret", "s3cret%E2%82%AC", "s3cret%00"])
    def test_a_token_that_no_header_can_carry_is_refused(self, server: Server, token: str) -> None:
        response = server.post(query=f"?middle_auth_token={token}")
        assert (response.status_code, response.json()["code"]) == (401, 401)

    def test_without_the_permission_nothing_is_told(self, server: Server) -> None:
        response = server.post(token=STRANGER)
        assert response.status_code == 403
        assert response.json() == {
            "code": 403,
            "error": "missing_permission",
            "message": "Missing permission: view for dataset brain",
            "data": {"required_permission": "view", "auth_dataset": "brain"},
        }

    def test_the_token_may_come_in_header_query_or_cookie(self, server: Server) -> None:
        answers = [
            server.post(token=VIEWER),
            server.post(query=f"?middle_auth_token={VIEWER}"),
            server.post(cookies={"middle_auth_token": VIEWER}),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert {tuple(answer.json()) for answer in answers} == {tuple(map(str, CACHED))}

    def test_another_scheme_than_bearer_is_refused(self, server: Server) -> None:
        response = server.post(headers={"Authorization": f"Basic {VIEWER}"})
        assert (response.status_code, response.json()["code"]) == (400, 400)
        assert "WWW-Authenticate" in response.headers

    def test_a_refused_caller_is_told_nothing_of_its_body(self, server: Server) -> None:
        assert server.post(b"bad").status_code == 401
        assert server.post(bytes(2 * MAX_BODY_BYTES)).status_code == 401

    def test_the_open_routes_need_no_token(self, server: Server) -> None:
        asked = len(server.auth.asked)
        for path in ("/l2cache/", "/l2cache/api/v1/table_mapping", "/l2cache/api/v1/attribute_metadata", "/health"):
            assert requests.get(server.url + path, timeout=30).status_code == 200
        response = requests.post(f"{server.url}/l2cache/api/v1/table/unknown/attributes", timeout=30)
        assert response.status_code == 404
        assert len(server.auth.asked) == asked

    def test_an_authentication_service_that_is_away_is_a_503(self, server: Server) -> None:
        with server.auth.answering(lambda: flask.Response("away", 503)):
            response = server.post(token="s3cret-never-seen-before")  # noqa: S106
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "localhost" not in response.text
        assert server.post(token=VIEWER).status_code == 200

    def test_no_token_reaches_the_log(self, server: Server) -> None:
        for token in (VIEWER, STRANGER, NOBODY):
            server.post(token=token, query=f"?middle_auth_token={token}", cookies={"middle_auth_token": token})
            server.post(query=f"?middle_auth_token={token}%0A")
        log = server.log.read_text()
        assert '"route": "attributes"' in log
        assert "s3cret" not in log
        assert "Traceback" not in log


class TestProcess:
    def test_a_body_beyond_the_limit_is_refused_also_while_it_is_being_sent(self, server: Server) -> None:
        pieces = (b" " * 65_536 for _ in range(200))
        for body in (bytes(10 * MAX_BODY_BYTES), pieces):
            response = server.post(body, token=VIEWER)
            assert (response.status_code, response.json()["code"]) == (413, 413)
            assert str(MAX_BODY_BYTES) in response.json()["message"]

    def test_a_gzip_bomb_is_refused(self, server: Server) -> None:
        response = server.post(gzip.compress(bytes(100_000_000)), token=VIEWER, headers={"Content-Encoding": "gzip"})
        assert (response.status_code, response.json()["code"]) == (413, 413)

    def test_a_connection_is_kept_through_errors(self, server: Server) -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {VIEWER}"
            url = server.url + ATTRIBUTES_PATH
            statuses = [
                session.post(url, data=body, timeout=30).status_code for body in (b"bad", bytes(9 * 10**6), b"")
            ]
            assert statuses == [400, 413, 400]
            assert session.post(url, json={"l2_ids": CACHED}, timeout=30).json()[str(CACHED[0])]["size_nm3"] == 2560

    def test_many_at_once_get_what_they_asked_for(self, server: Server) -> None:
        answers: dict[int, Any] = {}

        def ask(number: int) -> None:
            ids = np.array([CACHED[number % 3], MISSING[number % 3]], dtype=np.uint64)
            headers = {"Content-Type": "application/octet-stream"}
            answers[number] = server.post(ids.tobytes(), token=VIEWER, headers=headers).json()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, answer in answers.items():
            assert answer[str(MISSING[number % 3])] == {}
            assert answer[str(CACHED[number % 3])]["area_nm2"] == 10 * (number % 3 + 1)
        assert len(answers) == 24


def test_a_process_that_is_to_end_answers_those_who_wait(tmp_path: Path) -> None:
    with serving(graph_app(INFO)) as graph_url, ThreadPoolExecutor(1) as pool:
        world = World(tmp_path, graph_url)
        store = world.store
        store.write_states(TABLE, {MISSING[0]: NodeState(PENDING, time.time())})
        with running("lookup", world.environment, tmp_path / "log") as url:
            path = f"{url}{ATTRIBUTES_PATH}?wait=30&update_cache=false"
            answer = pool.submit(requests.post, path, json={"l2_ids": MISSING[:1]}, timeout=40)
            with pytest.raises(TimeoutError):
                answer.result(timeout=2.0)
        assert answer.result().json() == {str(MISSING[0]): {}}
        assert answer.result().headers["X-L2Cache-Pending"] == "1"
        assert float(answer.result().headers["X-L2Cache-Waited"]) < 20
        store.close()


def test_loading_the_function_loads_nothing_heavy(tmp_path: Path) -> None:
    world = World(tmp_path, "http://127.0.0.1:1")
    script = f"import runpy, sys; runpy.run_path({str(SOURCES['lookup'])!r}); print(*sys.modules)"
    environment = {**os.environ, **world.environment, "PYTHONPATH": str(ROOT)}
    output = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in output.stdout.split()}
    assert {"flask", "middle_auth_client", "orjson"} <= loaded
    heavy = {"cloudvolume", "sklearn", "scipy", "numba", "pandas", "edt", "fastremap", "grpc"}
    assert loaded & heavy == set()


def test_a_function_that_is_configured_wrongly_does_not_start(tmp_path: Path) -> None:
    with (
        pytest.raises(pytest.fail.Exception, match="L2CACHE_DATASETS must be set"),
        running("lookup", {}, tmp_path / "log"),
    ):
        pass
