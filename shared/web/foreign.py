"""Refusing what pages of other sites send with the rights of the person who looks at them.

Whoever reaches a function by `gcloud run services proxy` has no cookie: every request that comes to the proxy is given
the rights of the person who runs it, also one that a foreign page sends to `localhost`. Such a page can send a form, or
a body of plain text, which nothing asks the function about beforehand. It cannot send a header of its own, which its
browser would ask the function about first (CORS), nor hide where it is from.

Browsers say themselves that they are browsers, by `Origin` or `Sec-Fetch-Site`; other clients send neither and are
asked for nothing.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import flask

from shared.errors import ForeignPageError

REQUEST_HEADER = "X-L2Cache-Request"
"""The header that our own pages send with what changes anything; its value does not matter."""

_READING = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = ("same-origin", "none")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def refuse_foreign_pages(app: flask.Flask) -> None:
    """Has an app refuse what browsers send for pages that are not its own, unless it only reads."""
    app.before_request(_check)


def _check() -> None:
    headers = flask.request.headers
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if flask.request.method in _READING or (origin is None and site is None):
        return
    if REQUEST_HEADER not in headers:
        raise ForeignPageError(f"a page must send the header {REQUEST_HEADER} with what changes anything")
    if (site is not None and site not in _OWN_SITES) or (origin is not None and not _is_own(origin)):
        raise ForeignPageError("pages of other sites may change nothing here")


def _is_own(origin: str) -> bool:
    """Whether an origin is the function's own as the browser sees it: its address, or a proxy's on the same machine."""
    try:
        parts = urlsplit(origin)
        return parts.hostname in _LOOPBACK or parts.netloc.lower() == flask.request.host.lower()
    except ValueError:
        return False
