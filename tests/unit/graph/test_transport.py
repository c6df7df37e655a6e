from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from urllib3.exceptions import HTTPError
from werkzeug import Request, Response

from shared.errors import GraphResponseError, GraphUnavailableError
from shared.graph.transport import GZIP_ABOVE_BYTES, GraphTransport, ServerFaultError
from tests.support.graph.servers import Flaky, broken, first, serving

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105  # as in the recorded traffic


@Request.application
def echo(request: Request) -> Response:
    return Response(request.get_data() or b"hello")


class Rig:
    """A transport to a flaky echo, and the pauses it made."""

    def __init__(self, flaky: Flaky, url: str) -> None:
        self.flaky, self.url = flaky, f"{url}/segmentation/table/t/x"
        self.pauses_s: list[float] = []
        self.transport = self.make()

    def make(self, attempts: int = 3, timeout_s: float = 5.0, token: str | None = TOKEN) -> GraphTransport:
        return GraphTransport(token, timeout_s, attempts, backoff_s=0.5, sleep=self.pauses_s.append)


@pytest.fixture
def rig() -> Iterator[Rig]:
    flaky = Flaky(echo)
    with serving(flaky) as url:
        yield Rig(flaky, url)


def status(code: int, body: str = "", **headers: str) -> Response:
    return Response(body, code, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_request_carries_the_token(rig: Rig) -> None:
    assert rig.transport.get(rig.url, bytes) == b"hello"
    assert rig.flaky.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_none_is_sent_even_if_netrc_has_one(
    rig: Rig, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:  # noqa: PTH123  # requests reads the path from the environment as text
        file.write("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", netrc)
    assert rig.make(token=None).get(rig.url, bytes) == b"hello"
    assert "Authorization" not in rig.flaky.requests[0].headers


def test_a_proxy_that_the_environment_names_is_asked_every_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", rig.url.rpartition("/")[0])
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    transport = GraphTransport(None, 5.0, 1)
    for _ in range(2):
        transport.get("http://graph.invalid/table", bytes)
    assert len(rig.flaky.requests) == 2


def test_small_bodies_go_plain_and_large_ones_packed(rig: Rig) -> None:
    assert rig.transport.post(rig.url, bytes, b"small", "text/plain") == b"small"
    assert "Content-Encoding" not in rig.flaky.requests[0].headers
    large = b"12345678" * (GZIP_ABOVE_BYTES // 8 + 1)
    answer = rig.transport.post(rig.url, bytes, large, "application/octet-stream")
    assert rig.flaky.requests[1].headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer) == large


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again(rig: Rig, code: int) -> None:
    rig.flaky.plan = first(2, lambda: status(code))
    assert rig.transport.get(rig.url, bytes) == b"hello"
    assert len(rig.flaky.requests) == 3
    assert len(rig.pauses_s) == 2


def test_no_try_is_begun_after_the_time_that_a_request_was_given(rig: Rig) -> None:
    rig.flaky.plan = first(2, lambda: status(503, Retry_After="100"))
    with pytest.raises(GraphUnavailableError):
        rig.transport.get(rig.url, bytes, within_s=50.0)
    assert (len(rig.flaky.requests), rig.pauses_s) == (1, [])
    assert rig.transport.get(rig.url, bytes, within_s=150.0) == b"hello"
    assert rig.pauses_s == [100.0]


def test_a_broken_connection_is_tried_again(rig: Rig) -> None:
    rig.flaky.plan = first(2, broken)
    assert rig.transport.get(rig.url, bytes) == b"hello"


def test_an_answer_that_is_cut_off_is_tried_again(rig: Rig) -> None:
    def cut_off(_: object, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "5"), ("Connection", "close")])
        return [b"hel"]

    rig.flaky.plan = first(1, lambda: cut_off)
    assert rig.transport.get(rig.url, bytes) == b"hello"


def test_a_slow_answer_counts_as_none(rig: Rig) -> None:
    def slow(_: Request) -> Response | None:
        time.sleep(0.3)
        return None

    rig.flaky.plan = slow
    with pytest.raises(GraphUnavailableError):
        rig.make(attempts=2, timeout_s=0.05).get(rig.url, bytes)


def test_the_servers_wish_for_a_pause_is_met_within_reason(rig: Rig) -> None:
    rig.flaky.plan = first(1, lambda: status(429, Retry_After="47"))
    rig.transport.get(rig.url, bytes)
    rig.flaky.plan = first(1, lambda: status(503, Retry_After="86400"))
    rig.transport.get(rig.url, bytes)
    rig.flaky.plan = first(1, lambda: status(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"))
    rig.transport.get(rig.url, bytes)
    assert rig.pauses_s[:2] == [47.0, 120.0]
    assert 0 <= rig.pauses_s[2] <= 0.5


def test_what_fails_every_time_is_unavailable_after_so_many_attempts(rig: Rig) -> None:
    rig.flaky.plan = lambda _: status(503)
    with pytest.raises(GraphUnavailableError, match="503"):
        rig.transport.get(rig.url, bytes)
    assert len(rig.flaky.requests) == 3


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(GraphUnavailableError) as caught:
        GraphTransport(None, 1.0, 2, sleep=lambda _: None).get("http://127.0.0.1:9/info", bytes)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (404, ""),
        (400, ""),
        (500, '404 table \\"projects/p/instances/i/tables/nope\\" not found'),
        (500, "This function only accepts level 2 chunks, the chunk requested is a level 1 chunk"),
    ],
)
def test_what_no_retry_will_mend_is_asked_once_and_keeps_the_servers_words_to_the_log(
    rig: Rig, code: int, message: str
) -> None:
    rig.flaky.plan = lambda _: status(code, f'{{"code": {code}, "message": "{message}"}}')
    with pytest.raises(GraphResponseError) as caught:
        rig.transport.get(rig.url, bytes)
    assert len(rig.flaky.requests) == 1
    assert "projects" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_is_no_reason_to_lose_a_message_nor_to_ask_again_at_once(rig: Rig, code: int) -> None:
    rig.flaky.plan = lambda _: status(code)
    with pytest.raises(GraphUnavailableError, match="token"):
        rig.transport.get(rig.url, bytes)
    assert len(rig.flaky.requests) == 1


def test_a_fault_of_the_server_need_not_be_tried_again(rig: Rig) -> None:
    rig.flaky.plan = lambda _: status(500, "not even JSON")
    with pytest.raises(ServerFaultError):
        rig.transport.post(rig.url, bytes, b"", "text/plain", retry_faults=False)
    assert len(rig.flaky.requests) == 1


def test_an_answer_that_cannot_be_read_is_asked_for_again(rig: Rig) -> None:
    rig.flaky.plan = first(1, lambda: status(200, "<html>maintenance</html>"))

    def read(body: bytes) -> str:
        if body != b"hello":
            raise ValueError("not a greeting")
        return body.decode()

    assert rig.transport.get(rig.url, read) == "hello"


def test_the_token_is_in_no_record_and_no_error(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rig.flaky.plan = lambda _: status(503)
    with pytest.raises(GraphUnavailableError) as caught:
        rig.transport.get(rig.url, bytes)
    rig.flaky.plan = lambda _: broken()
    with pytest.raises(GraphUnavailableError) as broken_one:
        rig.transport.get(rig.url, bytes)
    assert isinstance(broken_one.value.__cause__, HTTPError)
    everything = " ".join([repr(vars(record)) for record in caplog.records])
    assert caplog.records
    assert TOKEN not in everything + repr(caught.value) + repr(broken_one.value.__cause__)


def test_cookies_are_not_kept(rig: Rig) -> None:
    rig.flaky.plan = first(1, lambda: status(200, "hello", Set_Cookie="session=1"))
    rig.transport.get(rig.url, bytes)
    rig.transport.get(rig.url, bytes)
    assert "Cookie" not in rig.flaky.requests[1].headers
