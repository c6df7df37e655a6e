"""Running a Flask app of our own, with its routes and error answers, inside an HTTP function."""

from __future__ import annotations

import contextlib
import io

import flask
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import run_wsgi_app

from shared.trace import in_trace
from shared.web.body import discard
from shared.web.trace import trace_id

_DISCARD_BYTES = 64 * 1024 * 1024


def serve(app: flask.Flask, request: flask.Request) -> flask.Response:
    """The answer of `app` to the request that functions-framework handed to the function.

    What `app` leaves of the request's body (because it is too large, or the caller is refused) is read and forgotten,
    since clients that are still sending do not read the answer. functions-framework would read it into memory.
    """
    body = request.stream
    request.stream = io.BytesIO()
    environ = {**request.environ, "wsgi.input": body, "wsgi.input_terminated": True}
    with in_trace(trace_id(request.headers)):
        pieces, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    response = flask.Response(pieces, status, headers)
    with contextlib.suppress(ClientDisconnected):
        discard(body, _DISCARD_BYTES)
    return response
