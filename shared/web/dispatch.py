"""Running a Flask app of our own, with its routes and error answers, inside an HTTP function."""

from __future__ import annotations

import contextlib
import io
import string
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import quote

import flask
from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import get_input_stream

from shared.errors import BrokenBodyError, SlowBodyError
from shared.telemetry.trace import in_trace
from shared.telemetry.web_trace import trace_id
from shared.web.body import discard
from shared.web.timed_body import BodyClock

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_DISCARD_BYTES = 64 * 1024 * 1024


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
        """The answer of the app to the request that functions-framework handed to the function."""
        stream, request.stream = request.stream, io.BytesIO()
        pieces, status, headers = self._answer(request.environ, stream)
        return flask.Response(pieces, status, headers)

    def replace_framework(self) -> None:
        """Has the app answer requests before functions-framework sees them: it costs as much as the app itself.

        It would also answer some itself, `/robots.txt`, `/favicon.ico` and paths with empty parts, with HTML and after
        reading any body whole. This is for a function's module: while functions-framework loads it, the framework's app
        is Flask's current one. Without one, nothing is replaced.
        """
        if flask.has_app_context():
            framework: Any = flask.current_app
            framework.wsgi_app = self._wsgi

    def _wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        pieces, status, headers = self._answer(environ, get_input_stream(environ))
        start_response(status, headers.to_wsgi_list())
        return pieces

    def _answer(self, environ: WSGIEnvironment, stream: IO[bytes]) -> tuple[Iterable[bytes], str, Headers]:
        """The pieces of the app's answer, its status and its headers.

        What the app leaves of the request's body (because it is too large, or the caller is refused) is read and
        forgotten, since clients that are still sending do not read the answer. functions-framework would read it into
        memory.
        """
        with self._bodies.timed(stream, environ) as body:
            own_environ = {
                **environ,
                "wsgi.input": body,
                "wsgi.input_terminated": True,
                "PATH_INFO": environ.get("PATH_INFO") or "/",  # an empty path is the root: no redirect to it
                "QUERY_STRING": _quoted(environ.get("QUERY_STRING", "")),
            }
            with in_trace(trace_id(EnvironHeaders(environ))):
                answer = run_wsgi_app(self._app().wsgi_app, own_environ, buffered=True)
            # The answer is there; what is wrong with the rest of the body changes nothing.
            with contextlib.suppress(BrokenBodyError, SlowBodyError):
                discard(cast(IO[bytes], body), _DISCARD_BYTES)
        return answer


def _quoted(query: str) -> str:
    """A query string with its bytes beyond ASCII quoted: Flask reads quoted ones whatever they are, plain ones not."""
    return query if query.isascii() else quote(query.encode("latin-1"), safe=string.printable)
