"""Pages for people, served by the functions: files that `make page` builds into a folder of the package.

Nothing is read before the first request for a page. A page loads nothing from elsewhere and runs only its own scripts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flask
from werkzeug.exceptions import NotFound

MANIFEST = "manifest.json"
"""Lists a page's files with their types and SHA-256; packages bring what it lists."""
ASSETS_PATH = "/assets/<name>"
"""Where a page's files are, below the page's folder."""
HTML = "text/html"

_INDEX = "index.html"
_YEAR_S = 365 * 24 * 3600
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class _File:
    content: bytes
    mimetype: str
    sha256: str


class Page:
    """A page in a folder. May be used by many threads.

    Args:
      folder: with `MANIFEST` and what it lists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add_assets(self, app: flask.Flask, base: str) -> None:
        """Has an app answer the page's files; the page itself belongs at `base` with a slash behind it."""
        app.add_url_rule(base + ASSETS_PATH, "asset", self._asset)

    def response(self) -> flask.Response:
        """The page as the answer to the request that is being answered; a browser asks each time whether it changed."""
        return _answer(self._file(_INDEX), "no-cache")

    def _asset(self, name: str) -> flask.Response:
        if name == _INDEX:
            raise NotFound
        # the contents' hash is in the name
        return _answer(self._file(name), f"public, max-age={_YEAR_S}, immutable")

    def _file(self, name: str) -> _File:
        # read each time: it is small, and what was built anew is served at once
        listed: dict[str, Any] = json.loads((self._folder / MANIFEST).read_text())["files"]
        if name not in listed:
            raise NotFound
        return _File((self._folder / name).read_bytes(), listed[name]["type"], listed[name]["sha256"])


def wants_page(request: flask.Request) -> bool:
    """Whether the sender would rather have a page than text or JSON: a browser in which somebody went to an address."""
    accepted = request.accept_mimetypes
    others = max(accepted.quality(kind) for kind in ("text/plain", "application/json"))
    return request.method in ("GET", "HEAD") and accepted.quality(HTML) > others


def lead_to_page(app: flask.Flask, path: str, target: str) -> None:
    """Sends browsers that ask for a path on to a page; all others get the app's answer as before.

    Args:
      app: has no page at the path.
      path: asked for.
      target: relative to the path: proxies may have put it elsewhere.
    """
    app.before_request(partial(_led, path, target))


def _led(path: str, target: str) -> flask.Response | None:
    if flask.request.path != path or not wants_page(flask.request):
        return None
    response = flask.Response(status=302)
    response.headers["Location"] = target
    response.vary.add("Accept")
    return response


def _answer(file: _File, caching: str) -> flask.Response:
    response = flask.Response(file.content, mimetype=file.mimetype)
    response.headers.update(_HEADERS)
    response.headers["Cache-Control"] = caching
    # weak: gzip changes the bytes, not the contents
    response.set_etag(file.sha256[:32], weak=True)
    response.make_conditional(flask.request)
    return response
