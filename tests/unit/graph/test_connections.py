from __future__ import annotations

import gzip
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError, SSLError
from werkzeug import Request as Asked
from werkzeug import Response
from werkzeug.serving import make_server, make_ssl_devcert

from shared.graph.connections import Connections, Request
from tests.support.graph.servers import Flaky, first, running, serving

OF_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
HEADERS = {"Authorization": "Bearer 0123", "Content-Type": "text/plain"}


@Asked.application
def echo(request: Asked) -> Response:
    return Response(f"{request.method} {request.full_path} {request.get_data(as_text=True)}")


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Flaky:
    for name in OF_PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return Flaky(echo)


@pytest.fixture
def url(flaky: Flaky) -> Iterator[str]:
    with serving(flaky) as address:
        yield address


def sent(url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    return Connections(2).send(Request(method, url, HEADERS, body), 5.0).data


def to(location: str, code: int = 302) -> Response:
    answer = Response("elsewhere", code, headers={"Location": location})
    answer.autocorrect_location_header = False
    return answer


def test_query_and_body_arrive_as_they_are(url: str) -> None:
    assert sent(f"{url}/a%20b?c=d%26e", "POST", b"body") == b"POST /a b?c=d%26e body"
    assert sent(url) == b"GET /? "


@pytest.mark.parametrize(
    ("code", "arrived"),
    [(code, b"GET /new? ") for code in (301, 302, 303)] + [(307, b"POST /new? x"), (308, b"POST /new? x")],
)
def test_a_redirect_is_followed_with_the_method_that_it_asks_for(
    flaky: Flaky, url: str, code: int, arrived: bytes
) -> None:
    flaky.plan = first(1, lambda: to("/new", code))
    assert sent(f"{url}/old", "POST", b"x") == arrived
    assert flaky.requests[1].headers["Authorization"] == HEADERS["Authorization"]
    assert ("Content-Type" in flaky.requests[1].headers) == (code > 303)


def test_a_location_may_have_any_characters(flaky: Flaky, url: str) -> None:
    flaky.plan = first(1, lambda: to("new place/é?q=1#part"))
    assert sent(f"{url}/old/x").decode() == "GET /old/new place/é?q=1 "


def test_the_token_is_not_told_to_another_server(flaky: Flaky, url: str) -> None:
    other = Flaky(echo)
    with serving(other) as elsewhere:
        flaky.plan = first(1, lambda: to(f"{elsewhere}/new", 307))
        assert sent(f"{url}/old", "POST", b"x") == b"POST /new? x"
    assert "Authorization" not in other.requests[0].headers


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("http://a.org/x", "http://a.org:80/y", True),
        ("http://a.org/x", "https://a.org/y", True),
        ("https://a.org/x", "http://a.org/y", False),
        ("http://a.org:81/x", "https://a.org/y", False),
        ("http://a.org:81/x", "http://a.org:82/y", False),
        ("https://a.org/x", "https://b.a.org/y", False),
    ],
)
def test_the_token_stays_with_its_server_and_what_encrypts_for_it(old: str, new: str, told: bool) -> None:
    assert ("Authorization" in Request("GET", old, HEADERS).redirected(302, new).headers) == told


def test_redirects_in_a_circle_come_to_an_end(flaky: Flaky, url: str) -> None:
    flaky.plan = lambda _: to("/again")
    with pytest.raises(HTTPError, match="redirects"):
        sent(url)
    assert len(flaky.requests) == 31


@pytest.mark.parametrize("location", ["ftp://elsewhere/x", "https://"])
def test_a_redirect_to_nowhere_is_an_error(flaky: Flaky, url: str, location: str) -> None:
    flaky.plan = first(1, lambda: to(location))
    with pytest.raises(HTTPError):
        sent(url)


def test_a_packed_answer_is_unpacked_and_a_broken_one_an_error(flaky: Flaky, url: str) -> None:
    packed = gzip.compress(b"hello" * 100)
    flaky.plan = first(1, lambda: Response(packed, headers={"Content-Encoding": "gzip"}))
    assert sent(url) == b"hello" * 100
    assert "gzip" in flaky.requests[0].headers["Accept-Encoding"]
    flaky.plan = first(1, lambda: Response(b"not packed", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(HTTPError):
        sent(url)


def test_a_proxy_is_told_server_and_password(flaky: Flaky, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", url.replace("http://", "http://me:my%20own@"))
    sent("http://graph.invalid:81/x?y=z")
    asked = flaky.requests[0]
    assert asked.environ["RAW_URI"] == "http://graph.invalid:81/x?y=z"
    assert asked.headers["Host"] == "graph.invalid:81"
    assert asked.headers["Proxy-Authorization"] == f"Basic {b64encode(b'me:my own').decode()}"


def test_a_proxy_is_left_out_where_the_environment_says_so(
    flaky: Flaky, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(HTTPError):
        sent(url)
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert sent(url) == b"GET /? "


def test_the_environment_names_the_certificates_that_are_trusted(
    flaky: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    certificate = make_ssl_devcert(str(tmp_path / "own"), cn="localhost")
    server = make_server("localhost", 0, flaky, threaded=True, ssl_context=certificate)
    server.log = lambda *_: None  # type: ignore[method-assign]
    with running(server) as address:
        url = address.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(SSLError):
            sent(url)
        monkeypatch.setenv("CURL_CA_BUNDLE", certificate[0])
        assert sent(url) == b"GET /? "
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{tmp_path}/missing")
        with pytest.raises(OSError, match="missing"):
            sent(url)


class KeepingOpen(BaseHTTPRequestHandler):
    """Werkzeug's server closes each connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers with the client's port."""
        port = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(port)))
        self.end_headers()
        self.wfile.write(port)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_a_connection_serves_many_requests() -> None:
    connections = Connections(2)
    with ThreadingHTTPServer(("127.0.0.1", 0), KeepingOpen) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        ports = {connections.send(Request("GET", url, {}), 5.0).data for _ in range(3)}
        server.shutdown()
        thread.join()
    assert len(ports) == 1
