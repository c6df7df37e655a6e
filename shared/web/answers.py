"""Answers: JSON, and gzip for who accepts it."""

from __future__ import annotations

from typing import Any

import flask
import orjson
from isal import isal_zlib

_GZIP_LEVEL = 2
_GZIP_WBITS = 31  # zlib's way to say: a gzip header and trailer around the deflated data


def json_response(value: Any, status: int = 200) -> flask.Response:
    """A JSON answer; `value` is what orjson can write, or bytes that are JSON already."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return flask.Response(body, status, mimetype="application/json")


def enable_gzip(app: flask.Flask) -> None:
    """Makes `app` gzip each answer that has a body when the client accepts it."""
    app.after_request(_pack)


def _pack(response: flask.Response) -> flask.Response:
    response.vary.add("Accept-Encoding")
    # `quality` is 0 for `gzip;q=0` and for clients that do not name it.
    if flask.request.accept_encodings.quality("gzip") <= 0 or "Content-Encoding" in response.headers:
        return response
    body = response.get_data()
    if body:
        response.set_data(isal_zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_WBITS))
        response.headers["Content-Encoding"] = "gzip"
    return response
