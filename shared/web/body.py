"""Reading a request's body within limits, packed or not."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import IO

import flask

from shared.errors import BadRequestError, BrokenBodyError, TooLargeError, UnsupportedEncodingError

_PLAIN = ("", "identity")
_GZIP = ("gzip", "x-gzip")
_PIECE_BYTES = 64 * 1024


def read_body(request: flask.Request, limit_bytes: int) -> bytes:
    """The request's body, unpacked if it came with `Content-Encoding: gzip`.

    Args:
      request: its body must not have been read.
      limit_bytes: most bytes of the body as sent, and of what it unpacks to. No more than that is held in memory.

    Raises:
      TooLargeError: beyond the limit; the message states it.
      UnsupportedEncodingError: for any other content encoding.
      BrokenBodyError: if the body ends early, or its framing is broken.
      SlowBodyError: if the body has a time limit, and did not arrive within it.
      BadRequestError: if the body says it is gzip and is not.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _PLAIN + _GZIP:
        raise UnsupportedEncodingError(f"content encoding {encoding!r} is not understood: send gzip, or none")
    declared = request.content_length
    if declared is not None and declared > limit_bytes:
        raise TooLargeError(f"the body has {declared} bytes, at most {limit_bytes} are allowed")
    body = read_at_most(request.stream, limit_bytes + 1)
    if len(body) > limit_bytes:
        raise TooLargeError(f"the body has more than {limit_bytes} bytes, the most that is allowed")
    if declared is not None and len(body) < declared:
        raise BrokenBodyError(f"the body was cut off after {len(body)} of {declared} bytes")
    return _unpack(body, limit_bytes) if encoding in _GZIP else body


def read_at_most(stream: IO[bytes], limit_bytes: int) -> bytes:
    """The next bytes of a stream, up to a limit or the end; a single `read` of a socket may return fewer."""
    pieces = []
    left = limit_bytes
    while left > 0 and (piece := stream.read(min(left, _PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def discard(stream: IO[bytes], limit_bytes: int) -> None:
    """Reads and forgets what is left of a stream, up to a limit."""
    left = limit_bytes
    while left > 0 and (piece := stream.read(min(left, _PIECE_BYTES))):
        left -= len(piece)


def _unpack(packed: bytes, limit_bytes: int) -> bytes:
    try:
        # Reading stops at the limit, before a small body has grown into a large one.
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unpacked:
            body = unpacked.read(limit_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadRequestError("the body is not gzip, as its Content-Encoding says, or is cut off") from error
    if len(body) > limit_bytes:
        raise TooLargeError(f"the body unpacks to more than {limit_bytes} bytes, the most that is allowed")
    return body
