"""One thing that is sent to a function: the bytes of an HTTP request, and what goes on around it meanwhile."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create

_CLIENT, _SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 8080)
_PIECE_BYTES = 8192
_REPETITION = re.compile(r"(.{1,6}?)\1{20,}")
MOST_SHOWN = 1500
PERMITTED = (200, b'{"id": 1, "permissions_v2": {"small": ["view"]}}')


@dataclass(frozen=True)
class Case:
    """A request to one function.

    Attributes:
      function: `lookup`, `compute` or `ingest`.
      kind: the generator that made it.
      raw: the request, as bytes on the wire; the client closes the connection behind it.
      away: neighbours that cannot be reached while it is answered: `store`, `graph`, `volume`, `bus`, `queue`.
      permissions: what the authentication service answers if it is asked: status and body.
      manifest: what the manifest in the folder of forged exports is.
    """

    function: str
    kind: str
    raw: bytes
    away: frozenset[str] = frozenset()
    permissions: tuple[int, bytes] = PERMITTED
    manifest: bytes = b""

    def environ(self) -> dict[str, Any] | None:
        """The WSGI environment that the server of the functions makes of it; None if it refuses the request itself."""
        config = _server_config()
        pieces = [self.raw[start : start + _PIECE_BYTES] for start in range(0, len(self.raw), _PIECE_BYTES)]
        try:
            request: Request = next(RequestParser(config, iter(pieces), _CLIENT))
            _, environ = create(request, _NoSocket(), _CLIENT, _SERVER, config)
        except (ParseException, OSError, StopIteration):
            return None
        return dict(environ)

    def __str__(self) -> str:
        around = f", away: {', '.join(sorted(self.away))}" if self.away else ""
        if self.permissions != PERMITTED:
            around += f", the authentication service answers {self.permissions[0]} {_shown(self.permissions[1])}"
        if self.manifest:
            around += f", the forged manifest is {_shown(self.manifest)}"
        return f"{self.function} ({self.kind}{around}): {_shown(self.raw)}"


def _shown(raw: bytes) -> str:
    """Bytes as a literal, long repetitions shortened to `<x * N>`."""
    text = _REPETITION.sub(lambda match: f"<{match[1]} * {len(match[0]) // len(match[1])}>", repr(raw))
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({len(raw)} bytes)"


@cache
def _server_config() -> Config:
    """As functions-framework sets it. Making one takes longer than most answers."""
    config = Config()
    config.set("limit_request_line", 0)
    return config


class _NoSocket:
    """In the place of the client's connection: answers go nowhere."""

    def send(self, data: bytes) -> int:
        return len(data)

    sendall = send


def http(
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]] = (),
    *,
    framed: bytes | None = None,
) -> bytes:
    """A request on the wire.

    Args:
      method: of the request.
      target: path and query, as they are sent.
      body: sent with its length.
      headers: beside `Host` and `Content-Length`.
      framed: sent in the place of `body`, as it is, without a `Content-Length`.
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    lines = [f"{method} {target} HTTP/1.1".encode("latin-1", "replace"), b"Host: fuzz"]
    for name, value in pairs:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("utf-8", "replace")))
    if framed is None and not any(name.lower() == "content-length" for name, _ in pairs):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body if framed is None else framed)


def chunked(body: bytes, size: int = 1000) -> bytes:
    """A body in pieces, as `Transfer-Encoding: chunked` has it."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
