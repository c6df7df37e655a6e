"""Holding a running app to its description: the routes that there are, and the answers that it gives."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

_OURS = re.compile(r"X-L2Cache-|X-RateLimit-|Retry-After|WWW-Authenticate|Link", re.IGNORECASE)
_UNDESCRIBED_METHODS = {"HEAD", "OPTIONS"}


def routes_of(app: flask.Flask) -> set[tuple[str, str]]:
    """Method and path of each route of an app, the path as OpenAPI writes it."""
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - _UNDESCRIBED_METHODS
    }


@dataclass(frozen=True)
class Description:
    """A document in OpenAPI 3.1."""

    document: Mapping[str, Any]

    def check(self) -> None:
        """Makes sure that it is a valid one."""
        validate(self.document)

    def routes(self) -> set[tuple[str, str]]:
        """Method and path of each route in it."""
        return {(method.upper(), path) for path, item in self.document["paths"].items() for method in item}

    def faults(self, method: str, target: str, status: int, headers: Any, body: bytes) -> list[str]:
        """What an answer has that the description does not say, or lacks that it says.

        Args:
          method: of the request.
          target: path and query of the request.
          status: of the answer.
          headers: of the answer.
          body: of the answer, packed as `headers` say.
        """
        parts = urlsplit(target)
        route = self._route(method, parts.path)
        if route is None:
            return [f"{method} {parts.path} is not described"]
        answer = route["responses"].get(str(status))
        if answer is None:
            return [f"status {status} is not described: {body[:200]!r}"]
        return [*_unknown_headers(answer, headers), *self._body_faults(answer, headers, body)]

    def request_faults(self, method: str, target: str, content_type: str, body: bytes) -> list[str]:
        """What of a request the description does not allow; raw bodies are not looked into."""
        parts = urlsplit(target)
        route = self._route(method, parts.path)
        assert route is not None, target
        known = {one["name"]: one["schema"] for one in route.get("parameters", ()) if one["in"] == "query"}
        faults = [f"parameter {name}" for name, _ in parse_qsl(parts.query) if name not in known]
        content = route.get("requestBody", {}).get("content", {})
        if content_type == "application/json" and content:
            faults += self._mismatches(content[content_type]["schema"], json.loads(body))
        return faults

    def _route(self, method: str, path: str) -> Mapping[str, Any] | None:
        for template, item in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path):
                found: Mapping[str, Any] | None = item.get(method.lower())
                return found
        return None

    def _body_faults(self, answer: Mapping[str, Any], headers: Any, body: bytes) -> list[str]:
        content = answer.get("content", {})
        if not content or not body:
            return [] if bool(content) == bool(body) else ["a body where none is described, or the other way round"]
        kind = headers["Content-Type"].partition(";")[0]
        if kind not in content:
            return [f"type {kind} is not described"]
        if kind != "application/json":
            return []
        plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        return self._mismatches(content[kind]["schema"], json.loads(plain))

    def _mismatches(self, schema: Mapping[str, Any], value: Any) -> list[str]:
        whole = {**schema, "components": self.document["components"]}
        return [f"{error.json_path}: {error.message[:300]}" for error in Draft202012Validator(whole).iter_errors(value)]


def _unknown_headers(answer: Mapping[str, Any], headers: Any) -> Iterator[str]:
    known = {name.lower() for name in answer.get("headers", {})}
    for name, _ in headers.items():
        if _OURS.match(name) and name.lower() not in known:
            yield f"header {name} is not described"
