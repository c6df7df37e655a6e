"""A stand-in for CAVE's authentication service, over TLS, which can be made to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
from werkzeug.serving import make_server, make_ssl_devcert

VIEWER, STRANGER, NOBODY = "s3cret-viewer", "s3cret-stranger", "s3cret-nobody"
FRESH = "s3cret-fresh"
"""Tokens that begin so are a viewer's, and each of them is one that nobody has seen before."""
_PERMISSIONS = {VIEWER: {"brain": ["view"]}, STRANGER: {"other": ["view"], "brain": ["edit"]}}

Misbehave = Callable[[], flask.Response | None]


def user(permissions: Any) -> dict[str, Any]:
    """What the service says of a user."""
    return {"id": 1, "admin": False, "groups": [], "permissions_v2": permissions, "missing_tos": []}


@dataclass
class AuthService:
    """As much of a middle_auth server as its client asks: the user of a token, the dataset of a table.

    Attributes:
      table: the table that is known, of the dataset `brain`.
      asked: the paths that were asked for.
    """

    table: str
    asked: list[str] = field(default_factory=list)
    _misbehave: Misbehave = lambda: None
    _only: str = ""

    @contextmanager
    def answering(self, misbehave: Misbehave, only: str = "") -> Iterator[None]:
        """Has other answers given, unless they are None, at paths that end in `only`."""
        self._misbehave, self._only = misbehave, only
        try:
            yield
        finally:
            self._misbehave = lambda: None

    def app(self) -> flask.Flask:
        """The service."""
        app = flask.Flask("auth")

        @app.before_request
        def other() -> flask.Response | None:
            self.asked.append(flask.request.path)
            return self._misbehave() if flask.request.path.endswith(self._only) else None

        @app.get("/api/v1/user/cache")
        def user_of_token() -> flask.Response:
            token = flask.request.headers["Authorization"].removeprefix("Bearer ")
            permissions = _PERMISSIONS.get(VIEWER if token.startswith(FRESH) else token)
            if permissions is None:
                return flask.Response("no such token", 401)
            return flask.jsonify(user(permissions))

        @app.get(f"/api/v1/service/pychunkedgraph/table/{self.table}/dataset")
        def dataset() -> flask.Response:
            return flask.jsonify("brain")

        return app


@contextmanager
def serving_tls(app: flask.Flask, folder: Path) -> Iterator[tuple[str, str]]:
    """Serves over TLS on a free port; yields host and port, and the file of the certificate to trust."""
    certificate, key = make_ssl_devcert(str(folder / "auth"), host="localhost")
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=(certificate, key))
    server.log = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"localhost:{server.server_port}", certificate
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
