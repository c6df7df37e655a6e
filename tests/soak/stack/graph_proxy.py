"""An HTTP proxy in front of the graph server, in which faults can be set."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import random
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

_HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive", "content-encoding")
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Exchange:
    """A request to the graph server and its answer, both unpacked."""

    method: str
    path: str
    body: bytes
    status: int
    headers: Mapping[str, str]
    answer: bytes


class BreakConnectionError(Exception):
    """Raised by a fault to end the connection, behind some bytes of the answer or none."""

    def __init__(self, sent: bytes = b"") -> None:
        super().__init__("the connection is broken on purpose")
        self.sent = sent


Fault: TypeAlias = Callable[[Exchange], Exchange]
"""Makes another answer of an answer, takes its time, or raises BreakConnectionError."""


class GraphProxy:
    """Passes requests on; faults change what comes back.

    Args:
      target_port: the graph server, on loopback.
      seed: decides which answers a fault is for.

    Attributes:
      answers_changed: by faults, so far.
      errors: of the proxy itself or of a fault, which must not happen.
    """

    def __init__(self, target_port: int, seed: int) -> None:
        self.target_port = target_port
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self._faults: dict[str, tuple[float, Fault]] = {}
        self.answers_changed = 0
        self.errors: list[BaseException] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                proxy.serve(self)

            do_POST = do_GET  # noqa: N815  # the name that http.server looks for

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = self._take_down  # type: ignore[method-assign]
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def set(self, name: str, fault: Fault, share: float) -> None:
        """From now on `fault` changes that share of the answers."""
        with self._lock:
            self._faults[name] = share, fault

    def clear(self, name: str) -> None:
        """Takes a fault out."""
        with self._lock:
            self._faults.pop(name, None)

    def close(self) -> None:
        """Ends the proxy."""
        self._server.shutdown()
        self._server.server_close()

    def _take_down(self, *_: object) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):  # clients are killed in the midst of a request
            self.errors.append(error)

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        try:
            exchange = self._changed(self._asked(handler, body))
        except BreakConnectionError as broken:
            self._break(handler, broken.sent)
            return
        except (OSError, http.client.HTTPException):
            self._break(handler, b"")  # the graph server is gone
            return
        with contextlib.suppress(OSError):  # the client may be dead
            handler.send_response(exchange.status)
            for name, value in exchange.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(exchange.answer)))
            handler.end_headers()
            handler.wfile.write(exchange.answer)

    def _asked(self, handler: BaseHTTPRequestHandler, body: bytes) -> Exchange:
        connection = http.client.HTTPConnection("127.0.0.1", self.target_port, timeout=_TIMEOUT_S)
        try:
            sent = {
                name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")
            }
            connection.request(handler.command, handler.path, body or None, sent)
            answer = connection.getresponse()
            received = answer.read()
        finally:
            connection.close()
        if answer.headers.get("Content-Encoding") == "gzip":
            received = gzip.decompress(received)
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        return Exchange(handler.command, handler.path, body, answer.status, kept, received)

    def _changed(self, exchange: Exchange) -> Exchange:
        with self._lock:
            due = [fault for share, fault in self._faults.values() if self._chance.random() < share]
        for fault in due:
            before = exchange
            exchange = fault(exchange)
            self.answers_changed += exchange is not before
        return exchange

    def _break(self, handler: BaseHTTPRequestHandler, sent: bytes) -> None:
        self.answers_changed += 1
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.connection.sendall(sent)
            handler.connection.shutdown(socket.SHUT_RDWR)
