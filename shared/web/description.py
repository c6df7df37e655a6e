"""Answering a function's description in OpenAPI 3.1, and saying where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flask

from shared.once import Once
from shared.web.answers import json_response

OPENAPI_PATH = "/openapi.json"
_ENDPOINT = "openapi"


def answer_description(app: flask.Flask, paths: Iterable[str], describe: Callable[[], Mapping[str, Any]]) -> None:
    """Makes `app` answer its description at some paths, without a token.

    Args:
      app: of a function.
      paths: where.
      describe: makes the document; asked at the first request for it.
    """
    document = Once(describe)

    def description() -> flask.Response:
        return json_response(document())

    for path in paths:
        app.add_url_rule(path, _ENDPOINT, description)


def link_to_description(response: flask.Response, path: str) -> flask.Response:
    """The response with a header that says where the description is (RFC 8631)."""
    response.headers.add("Link", f'<{path}>; rel="service-desc"; type="application/json"')
    return response
