"""Answers: JSON, and gzip for who accepts it."""

from __future__ import annotations

from typing import Any

import flask
import orjson
from isal import isal_zlib

MOST_ANSWER_BYTES = 32_000_000
"""What the platform sends as one answer; for a larger one the client gets an error of the platform's. A streamed answer
may have 10 MB only."""

ARROW_TYPE = "application/vnd.apache.arrow.stream"
"""Streams of Arrow, whose buffers are compressed or not inside the stream: no answer of this type is gzipped."""

_GZIP_LEVEL = 2
_GZIP_WBITS = 31  # zlib's way to say: a gzip header and trailer around the deflated data


def json_response(value: Any, status: int = 200) -> flask.Response:
    """A JSON answer; `value` is what orjson can write, or bytes that are JSON already."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return flask.Response(body, status, mimetype="application/json")


def acknowledged() -> flask.Response:
    """Tells the bus or the queue not to deliver again; there is nothing else to say."""
    return flask.Response(status=204)


def set_readable_header(response: flask.Response, name: str, value: str) -> None:
    """Sets a header that pages of other origins may read: a line beside what the answer's CORS headers say already."""
    response.headers[name] = value
    response.headers.add("Access-Control-Expose-Headers", name)


def enable_gzip(app: flask.Flask) -> None:
    """Makes `app` gzip each answer that has a body when the client accepts it."""
    app.after_request(_pack)


def _pack(response: flask.Response) -> flask.Response:
    # Late, so that it joins what the CORS headers say the answer varies by.
    response.headers["Vary"] = ", ".join([*response.headers.getlist("Vary"), "Accept-Encoding"])
    return packed(response)


def packed(response: flask.Response) -> flask.Response:
    """The response, gzipped if the request's client accepts that and it has a body that is not packed yet."""
    # `quality` is 0 for `gzip;q=0` and for clients that do not name it.
    if flask.request.accept_encodings.quality("gzip") <= 0 or "Content-Encoding" in response.headers:
        return response
    if response.mimetype == ARROW_TYPE:
        return response
    body = response.get_data()
    if body:
        response.set_data(isal_zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_WBITS))
        response.headers["Content-Encoding"] = "gzip"
    return response
