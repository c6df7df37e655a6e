"""Graph servers for tests: the stand-in over the real data, and servers that misbehave."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from infra.standin.graph.app import create_app
from infra.standin.graph.server import GraphFiles, load

DATA = Path(os.environ.get("L2CACHE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not here: {DATA}")

Wsgi = Callable[[dict[str, Any], Any], Any]
Plan = Callable[[Request], Wsgi | None]


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, kind: str, message: str, *arguments: object) -> None:
        """Says nothing."""


class BrokenConnectionError(Exception):
    """Raised by a plan to end the connection without an answer."""


@contextmanager
def serving(app: Wsgi) -> Iterator[str]:
    """Serves an application on a free port; yields its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    server.log = lambda *_: None  # type: ignore[method-assign]
    with running(server) as address:
        yield address


@contextmanager
def running(server: BaseWSGIServer) -> Iterator[str]:
    """Runs a server in a thread; yields its address."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def real_graph(state: str) -> Wsgi:
    """The stand-in over the real data, `before_merge` or `after_merge`."""
    dump = DATA / "tables" / f"graph_{state}.ndjson.gz"
    return create_app(*load(GraphFiles(dump, DATA / "graphene_info.json", str(DATA / "watershed"))))


class Flaky:
    """An application before which a plan may step in, and that remembers what it was asked.

    Attributes:
      plan: answers a request in the application's place, or returns None; BrokenConnectionError breaks the connection.
      requests: what was asked, in order.
    """

    def __init__(self, app: Wsgi, plan: Plan = lambda _: None) -> None:
        self._app = app
        self._lock = threading.Lock()
        self.plan = plan
        self.requests: list[Request] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        environ["wsgi.input"] = io.BytesIO(request.get_data())  # a plan may have a look as well
        with self._lock:
            self.requests.append(request)
            try:
                answer = self.plan(request)
            except BrokenConnectionError:
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise
        if answer is None:
            return self._app(environ, start_response)
        return answer(environ, start_response)

    def paths(self) -> list[str]:
        """The paths asked for, without what leads to the table."""
        return [request.path.split("/table/")[1].partition("/")[2] for request in self.requests]


def first(count: int, answer: Callable[[], Wsgi]) -> Plan:
    """A plan that gives `answer` to the first `count` requests."""
    left = iter(range(count))

    def plan(_: Request) -> Wsgi | None:
        return answer() if next(left, None) is not None else None

    return plan


def broken() -> Response:
    """Breaks the connection."""
    raise BrokenConnectionError
