"""An authentication service that is slow, overloaded or answers nonsense, behind the look-up function."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import flask
import pytest
import requests

from tests.integration.test_lookup_function import INFO
from tests.support.graph.servers import serving
from tests.support.lookup_setup import ATTRIBUTES_PATH, DATASET, World, graph_app
from tests.support.processes.auth_service import FRESH, AuthService, serving_tls, user
from tests.support.processes.server import running

USER, NAME = "/user/cache", "/dataset"
RETRY_AFTER_S = "17"
_numbers = itertools.count()


class Server:
    """A running look-up function and its authentication service."""

    def __init__(self, url: str, auth: AuthService, log: Path) -> None:
        self.url, self.auth, self.log = url, auth, log

    def ask(self, token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(self.url + ATTRIBUTES_PATH, json={"l2_ids": [1]}, headers=headers, timeout=60)

    def fresh(self) -> str:
        """A token of a viewer that was never used before."""
        return f"{FRESH}-{next(_numbers)}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("authentication")
    auth = AuthService(DATASET)
    with ExitStack() as stack:
        graph_url = stack.enter_context(serving(graph_app(INFO)))
        address, certificate = stack.enter_context(serving_tls(auth.app(), folder))
        environment = {
            **World(folder, graph_url).environment,
            "AUTH_DISABLED": "false",
            "AUTH_URL": address,
            "REQUESTS_CA_BUNDLE": certificate,
            "L2CACHE_RETRY_AFTER_S": RETRY_AFTER_S,
        }
        url = stack.enter_context(running("lookup", environment, folder / "log"))
        yield Server(url, auth, folder / "log")
    assert "Traceback" not in (folder / "log").read_text()
    assert FRESH not in (folder / "log").read_text()


def json(value: Any) -> Callable[[], flask.Response]:
    return lambda: flask.jsonify(value)


def text(body: str, status: int = 200, mimetype: str = "text/html", **headers: str) -> Callable[[], flask.Response]:
    return lambda: flask.Response(body, status, headers, mimetype=mimetype)


NO_JSON = [
    text("<html>welcome</html>"),
    text('{"id": 1', mimetype="application/json"),
    text("\xff", 204),
    text(""),
    text("[" * 100_000),
]
NO_USER = [
    json(value)
    for value in (
        [user({"brain": ["view"]})],
        "somebody",
        5,
        None,
        False,
        {},
        {"id": 1},
        user(None),
        user(["view"]),
        user("view"),
        user({"brain": "view"}),
        user({"brain": None}),
        {**user({"brain": ["view"]}), "permissions_v2_ignore_tos": [1]},
        {**user({}), "missing_tos": 5},
        {**user({}), "missing_tos": [{"dataset": "brain"}]},
    )
]
NO_NAME = [json(value) for value in (["brain"], {"dataset": "brain"}, 5, None, False, "")]


@pytest.mark.parametrize(
    ("path", "answer"), [*[(USER, answer) for answer in NO_JSON + NO_USER], *[(NAME, a) for a in NO_JSON + NO_NAME]]
)
def test_nonsense_is_a_503_and_is_not_kept(server: Server, path: str, answer: Callable[[], flask.Response]) -> None:
    token = server.fresh()
    with server.auth.answering(answer, path):
        response = server.ask(token)
    assert (response.status_code, response.json()["code"]) == (503, 503)
    assert response.headers["Retry-After"] == RETRY_AFTER_S
    assert server.ask(token).status_code == 200


WISHES = [("7", "7"), ("0", "1"), ("9" * 5000, "300"), ("soon", RETRY_AFTER_S), ("-5", RETRY_AFTER_S)]
CANNOT = [*[(429, *wish) for wish in WISHES], *[(status, "7", "7") for status in (408, 500, 503)]]


@pytest.mark.parametrize("path", [USER, NAME])
@pytest.mark.parametrize(("status", "wish", "told"), CANNOT)
def test_a_service_that_cannot_is_a_503_with_its_wish_within_bounds(
    server: Server, path: str, status: int, wish: str, told: str
) -> None:
    token = server.fresh()
    with server.auth.answering(text("not now", status, **{"Retry-After": wish}), path):
        response = server.ask(token)
    assert (response.status_code, response.headers["Retry-After"]) == (503, told)
    assert server.ask(token).status_code == 200


def test_a_wish_may_be_a_date(server: Server) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    with server.auth.answering(text("not now", 429, **{"Retry-After": date})):
        assert 1 <= int(server.ask(server.fresh()).headers["Retry-After"]) <= 200


def test_a_service_that_fails_now_and_then_is_asked_again(server: Server) -> None:
    count = itertools.count()
    with server.auth.answering(lambda: flask.Response("oops", 500) if next(count) % 2 == 0 else None):
        assert server.ask(server.fresh()).status_code == 200


def test_a_login_page_in_the_place_of_an_answer_is_a_503(server: Server) -> None:
    def login() -> flask.Response:
        page = flask.request.path == "/login"
        return flask.Response("<html>log in</html>") if page else flask.make_response(flask.redirect("/login"))

    with server.auth.answering(login):
        assert server.ask(server.fresh()).status_code == 503


def test_a_slow_service_costs_five_seconds_at_most(server: Server) -> None:
    over = threading.Event()

    def silent() -> flask.Response:
        over.wait(60)
        return flask.Response()

    def dripping_body() -> flask.Response:
        def pieces() -> Iterator[bytes]:
            while not over.wait(0.5):
                yield b" "

        return flask.Response(pieces(), mimetype="application/json")

    def dripping_headers() -> flask.Response:
        connection = flask.request.environ["werkzeug.socket"]
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not over.wait(0.5):
            connection.sendall(b"x")
        return flask.Response()

    ways = {server.fresh(): way for way in (silent, dripping_body, dripping_headers)}

    def slow() -> flask.Response:
        return ways[flask.request.headers["Authorization"].removeprefix("Bearer ")]()

    def timed(token: str) -> tuple[int, float]:
        start_s = time.monotonic()
        return server.ask(token).status_code, time.monotonic() - start_s

    with server.auth.answering(slow), ThreadPoolExecutor(3) as threads:
        outcomes = list(threads.map(timed, ways))
        over.set()
    assert [status for status, _ in outcomes] == [503, 503, 503]
    assert max(elapsed_s for _, elapsed_s in outcomes) < 9  # 5, and patience with a busy machine
