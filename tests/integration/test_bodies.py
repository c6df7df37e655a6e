"""Bodies that arrive broken, slowly or never, at the three functions in their real server process."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.lookup_setup import ATTRIBUTES_PATH, World
from tests.support.processes.server import THREADS, running

BODY_TIMEOUT_S = 2.0
PATHS = {"lookup": ATTRIBUTES_PATH, "compute": "/", "ingest": "/status"}
LENGTH = b"Content-Length: 1000\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

BROKEN = {
    "no size": b"xyz\r\nabc\r\n0\r\n\r\n",
    "negative size": b"-5\r\nabc\r\n0\r\n\r\n",
    "empty size": b"\r\nabc\r\n0\r\n\r\n",
    "size too small": b"2\r\nabcdef\r\n0\r\n\r\n",
    "huge size line": b"1" * 20_000,
    "bare LF": b"3\nabc\n0\n\n\r\n",
    "bad extension": b"3;=\r\nabc\r\n0\r\n\r\n",
    "bad trailer": b"3\r\nabc\r\n0\r\nno trailer\r\n\r\n",
    "forbidden trailer": b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("servers")
    environment = {
        **World(folder, "http://127.0.0.1:1").environment,
        "CLOUD_VOLUME_DIR": str(folder),
        "L2CACHE_BODY_TIMEOUT_S": str(BODY_TIMEOUT_S),
    }
    with ExitStack() as stack:
        yield {name: stack.enter_context(running(name, environment, folder / f"{name}.log")) for name in PATHS}


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)


def head(path: str, fields: bytes) -> bytes:
    return b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + fields + b"\r\n"


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and JSON of the answer, which the server closes the connection after."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    headers, _, body = received.partition(b"\r\n\r\n")
    assert b"application/json" in headers.lower(), received[:2000]
    return int(headers.split()[1]), json.loads(body)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("broken", BROKEN)
def test_broken_chunked_framing_is_a_400_of_ours(urls: dict[str, str], name: str, broken: str) -> None:
    with connect(urls[name]) as connection:
        connection.sendall(head(PATHS[name], CHUNKED) + BROKEN[broken])
        status, document = answer(connection)
    assert (status, document["code"]) == (400, 400)
    assert "framing" in str(document["message"])


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("fields", [LENGTH, CHUNKED])
def test_a_body_that_is_cut_off_is_a_400_and_no_message_that_was_dealt_with(
    urls: dict[str, str], name: str, fields: bytes
) -> None:
    with connect(urls[name]) as connection:
        connection.sendall(head(PATHS[name], fields) + b"3e8\r\n{")
        connection.shutdown(socket.SHUT_WR)
        status, document = answer(connection)
    assert (status, document["code"]) == (400, 400)
    assert "cut off" in str(document["message"])


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", ["/robots.txt", "/favicon.ico", "//a//b", "/nowhere"])
def test_no_path_is_the_frameworks(urls: dict[str, str], name: str, path: str) -> None:
    for method in ("GET", "PUT"):
        plain = requests.request(method, urls[name] + path, timeout=30)
        assert plain.json()["code"] == plain.status_code in (404, 405)
    with connect(urls[name]) as connection:
        connection.sendall(head(path, CHUNKED) + BROKEN["no size"])
        status, document = answer(connection)
    assert status == document["code"]
    assert status in (400, 404)


@contextmanager
def dripping(url: str, request: bytes) -> Iterator[socket.socket]:
    """Sends a request, and a byte more of its body every now and then."""
    stopped = threading.Event()

    def drip() -> None:
        while not stopped.wait(0.1):
            try:
                connection.sendall(b"1")
            except OSError:
                return

    with connect(url) as connection:
        connection.sendall(request)
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield connection
        finally:
            stopped.set()
            thread.join()


@pytest.mark.parametrize("name", PATHS)
def test_a_body_that_takes_too_long_is_a_408_however_it_dawdles(urls: dict[str, str], name: str) -> None:
    starts = [LENGTH + b"\r\n", CHUNKED + b"\r\n3e8\r\n", CHUNKED + b"\r\n", CHUNKED + b"\r\n1\r\na\r\n0\r\nTrailer: "]
    requests_begun = [head(PATHS[name], start)[:-2] for start in starts]
    with ExitStack() as stack:
        connections = [stack.enter_context(dripping(urls[name], request)) for request in requests_begun]
        for request in requests_begun:
            silent = stack.enter_context(connect(urls[name]))
            silent.sendall(request)
            connections.append(silent)
        for connection in connections:
            status, document = answer(connection)
            assert (status, document["code"]) == (408, 408)
            assert "within 2 s" in str(document["message"])


def test_slow_bodies_hold_no_thread_beyond_their_time(urls: dict[str, str]) -> None:
    url = urls["lookup"]
    with ExitStack() as stack:
        slow = [
            stack.enter_context(dripping(url, head(ATTRIBUTES_PATH, (LENGTH, CHUNKED)[number % 2])))
            for number in range(THREADS + 1)
        ]
        time.sleep(BODY_TIMEOUT_S / 3)  # until they have all threads
        assert requests.get(f"{url}/healthz", timeout=30).ok
        assert [answer(connection)[0] for connection in slow].count(408) >= THREADS


def test_an_unread_body_that_never_ends_holds_no_thread_either(urls: dict[str, str]) -> None:
    with dripping(urls["lookup"], head("/nowhere", LENGTH)) as connection:
        assert answer(connection)[0] == 404
