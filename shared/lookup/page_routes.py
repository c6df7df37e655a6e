"""The look-up's page: where it is, and how a browser's token becomes a cookie, as in every CAVE service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import flask

from shared.config.settings import Settings
from shared.lookup import page
from shared.lookup.paths import prefixed
from shared.web.page import Page, lead_to_page, wants_page


class LookupPage:
    """The page below the prefix. May be used by many threads.

    Args:
      settings: the prefix, and the name under which tokens come.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._page = Page(Path(page.__path__[0]))
        self._home = prefixed(settings, "/")

    def add_to(self, app: flask.Flask) -> None:
        """Has an app answer the page's files, and lead browsers to it."""
        self._page.add_assets(app, prefixed(self._settings, ""))
        if self._settings.url_prefix:
            # The page's addresses are relative to a folder.
            lead_to_page(app, "/", f"{self._settings.url_prefix}/")
            lead_to_page(app, f"/{self._settings.url_prefix}", f"{self._settings.url_prefix.rpartition('/')[2]}/")

    def or_else(self, answer: Callable[[], flask.Response]) -> flask.Response:
        """The page, if the request that is being answered is a browser's for it; else another answer."""
        if flask.request.path != self._home or not wants_page(flask.request):
            response = answer()
        elif self._settings.token_name in flask.request.args:
            response = self._keep_token(flask.request.args[self._settings.token_name])
        else:
            response = self._page.response()
        response.vary.add("Accept")
        return response

    def _keep_token(self, token: str) -> flask.Response:
        """Puts the token that the login page sent along into the cookie, and takes it out of the address."""
        response = flask.Response(status=302)
        response.headers["Location"] = "./"
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.set_cookie(self._settings.token_name, token, secure=True, httponly=True, samesite="Lax")
        return response
