"""What stands between an emulator that delivers and a function: passes deliveries on, and keeps account of them.

Emulators do not tell what they have under way, nor what of a subscription waits.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any
from urllib.parse import urlsplit

_TIMEOUT_S = 900.0
_UNREACHABLE = 502
_HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive", "host")


class Relay:
    """An HTTP server on a free port of loopback.

    Args:
      target: gives the base address of the function, asked anew for each delivery.
    """

    def __init__(self, target: Callable[[], str]) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._under_way = 0
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._accepted: set[tuple[str, str]] = set()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:  # as http.server wants it
                relay.serve(self)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that is gone
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def under_way(self) -> int:
        """How many deliveries the function has at the moment."""
        return self._under_way

    def accepted(self, subscription: str) -> set[str]:
        """Ids of the messages of a subscription that the function has acknowledged."""
        with self._lock:
            return {message_id for name, message_id in self._accepted if name == subscription}

    def sent(self, subscription: str, times: int) -> set[str]:
        """Ids of the messages of a subscription that were sent so many times at least."""
        with self._lock:
            return {m for (name, m), count in self._attempts.items() if name == subscription and count >= times}

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Passes a delivery on, and the answer back."""
        body = _body(handler)
        message = _message(body)
        with self._lock:
            self._under_way += 1
        try:
            status, headers, answer = self._ask(handler, body)
        finally:
            with self._lock:
                self._under_way -= 1
        if message is not None:
            with self._lock:
                self._attempts[message] += 1
                if status // 100 == 2:
                    self._accepted.add(message)
        with contextlib.suppress(OSError):  # the emulator may not have waited
            handler.send_response(status)
            for name, value in headers:
                handler.send_header(name, value)
            if status != 204:
                handler.send_header("Content-Length", str(len(answer)))
            handler.end_headers()
            handler.wfile.write(answer)

    def _ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        try:
            connection = http.client.HTTPConnection(urlsplit(self._target()).netloc, timeout=_TIMEOUT_S)
            with contextlib.closing(connection):
                connection.request("POST", handler.path, body, dict(_kept(list(handler.headers.items()))))
                answer = connection.getresponse()
                return answer.status, _kept(answer.getheaders()), answer.read()
        except (OSError, http.client.HTTPException):
            return _UNREACHABLE, [], b""


def _kept(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    pieces = []
    while size := _chunk_bytes(handler.rfile):
        pieces.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(pieces)


def _chunk_bytes(stream: IO[bytes]) -> int:
    return int(stream.readline().partition(b";")[0], 16)


def _message(body: bytes) -> tuple[str, str] | None:
    """Subscription and id of the message that is pushed; None if it is a task."""
    document = json.loads(body)
    if "subscription" not in document:
        return None
    return str(document["subscription"]), str(document["message"]["messageId"])
