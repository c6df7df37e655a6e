"""Whether a function is alive: the one path that all functions have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flask

from shared.web.answers import json_response

HEALTH_ENDPOINT = "health"
HEALTH_PATHS = ("/health", "/healthz")
"""From outside, Cloud Run answers the first only, since it keeps paths that end in z; the second is the older one."""


def answer_health(app: flask.Flask, more: Callable[[], Mapping[str, Any]]) -> None:
    """Makes `app` answer 200 at the health paths, without a token.

    Args:
      app: of a function.
      more: gives what the answer says beside `status`; no secrets.
    """

    def health() -> flask.Response:
        return json_response({"status": "ok", **more()})

    for path in HEALTH_PATHS:
        app.add_url_rule(path, HEALTH_ENDPOINT, health)
