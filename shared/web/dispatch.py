"""Running a Flask app of our own, with its routes and error answers, inside an HTTP function."""

from __future__ import annotations

import contextlib
import io
import string
from collections.abc import Callable
from typing import IO, cast
from urllib.parse import quote

import flask
from werkzeug.test import run_wsgi_app

from shared.errors import BrokenBodyError, SlowBodyError
from shared.telemetry.trace import in_trace
from shared.telemetry.web_trace import trace_id
from shared.web.body import discard
from shared.web.timed_body import BodyClock

_DISCARD_BYTES = 64 * 1024 * 1024
_FUNCTION_ENDPOINT = "run"  # functions-framework's name for its route to the function


class HostedApp:
    """A Flask app of our own inside an HTTP function. May be used by many threads.

    Args:
      app: gives the app, the same each time; asked at the first request, not before.
      body_timeout_s: a request's body must have arrived within this time.
    """

    def __init__(self, app: Callable[[], flask.Flask], body_timeout_s: float) -> None:
        self._app = app
        self._bodies = BodyClock(body_timeout_s)

    def __call__(self, request: flask.Request) -> flask.Response:
        """The answer of the app to the request that functions-framework handed to the function.

        What the app leaves of the request's body (because it is too large, or the caller is refused) is read and
        forgotten, since clients that are still sending do not read the answer. functions-framework would read it into
        memory.
        """
        with self._bodies.timed(request.stream, request.environ) as body:
            request.stream = io.BytesIO()
            environ = {
                **request.environ,
                "wsgi.input": body,
                "wsgi.input_terminated": True,
                "PATH_INFO": request.environ.get("PATH_INFO") or "/",  # an empty path is the root: no redirect to it
                "QUERY_STRING": _quoted(request.environ.get("QUERY_STRING", "")),
            }
            with in_trace(trace_id(request.headers)):
                pieces, status, headers = run_wsgi_app(self._app().wsgi_app, environ, buffered=True)
            # The answer is there; what is wrong with the rest of the body changes nothing.
            with contextlib.suppress(BrokenBodyError, SlowBodyError):
                discard(cast(IO[bytes], body), _DISCARD_BYTES)
        return flask.Response(pieces, status, headers)

    def replace_framework_pages(self) -> None:
        """Has the app answer also where functions-framework would itself: with HTML, after reading any body whole.

        It does so at `/robots.txt`, `/favicon.ico` and paths with empty parts. This is for a function's module: while
        functions-framework loads it, the framework's app is Flask's current one. Without one, nothing is replaced.
        """
        if flask.has_app_context():
            flask.current_app.before_request(self._answer_for_framework)

    def _answer_for_framework(self) -> flask.Response | None:
        return None if flask.request.endpoint == _FUNCTION_ENDPOINT else self(flask.request)


def _quoted(query: str) -> str:
    """A query string with its bytes beyond ASCII quoted: Flask reads quoted ones whatever they are, plain ones not."""
    return query if query.isascii() else quote(query.encode("latin-1"), safe=string.printable)
