"""The pieces of a function's description in OpenAPI 3.1.

A function says what its routes are as values of these classes; `Api.document` makes the document of them, in which
nothing is written twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from shared.web.page import ASSETS_PATH

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema of 2020-12, which is that of OpenAPI 3.1."""

JSON = "application/json"


def reference(name: str) -> Schema:
    """What stands for one of the API's named schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request.

    Attributes:
      name: of the parameter.
      meaning: what it does.
      schema: of its value.
      place: `query`, `path` or `header`.
      is_required: whether it must be given; one of a path always must.
    """

    name: str
    meaning: str
    schema: Schema
    place: str = "query"
    is_required: bool = False

    def document(self) -> dict[str, Any]:
        """The parameter in JSON's types."""
        required = {"required": True} if self.is_required or self.place == "path" else {}
        return {"name": self.name, "in": self.place, "description": self.meaning, "schema": self.schema, **required}


@dataclass(frozen=True)
class Answer:
    """An answer of one status.

    Attributes:
      status: the HTTP status.
      meaning: when it is given.
      content: the schema of its body by media type; none for an answer without a body.
      headers: what headers that are ours tell, by their names.
    """

    status: int
    meaning: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The answer in JSON's types."""
        described: dict[str, Any] = {"description": self.meaning}
        if self.headers:
            described["headers"] = {
                name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in self.headers.items()
            }
        if self.content:
            described["content"] = {kind: {"schema": schema} for kind, schema in self.content.items()}
        return described


@dataclass(frozen=True)
class Route:
    """One method of one path.

    Attributes:
      path: with parameters in braces: `/table/{dataset}/attributes`.
      method: `GET` or `POST`.
      name: of the operation; no two of an API have the same.
      summary: what it does, in a sentence.
      answers: all that it may answer.
      parameters: of the path, the query, the headers.
      body: the schema of a request's body by media type; none for a request without one.
      needs: the security schemes of which one must be met; none for a route that is open.
    """

    path: str
    method: str
    name: str
    summary: str
    answers: tuple[Answer, ...]
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The route in JSON's types."""
        described: dict[str, Any] = {"operationId": self.name, "summary": self.summary}
        if self.parameters:
            described["parameters"] = [parameter.document() for parameter in self.parameters]
        if self.body:
            content = {kind: {"schema": schema} for kind, schema in self.body.items()}
            described["requestBody"] = {"required": True, "content": content}
        described["responses"] = {str(answer.status): answer.document() for answer in self.answers}
        described["security"] = [{scheme: []} for scheme in self.needs]
        return described


@dataclass(frozen=True)
class Api:
    """All routes of a function.

    Attributes:
      title: what the function is.
      version: of the software.
      summary: what it does, in a sentence.
      routes: in the order of the document.
      schemas: that are referred to by name; `Error` is always among them.
      security: the schemes by which a caller shows who it is, as OpenAPI has them, by name.
    """

    title: str
    version: str
    summary: str
    routes: tuple[Route, ...]
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    security: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The description in JSON's types."""
        paths: dict[str, dict[str, Any]] = {}
        for route in self.routes:
            paths.setdefault(route.path, {})[route.method.lower()] = route.document()
        return {
            "openapi": "3.1.0",
            "info": {"title": self.title, "version": self.version, "summary": self.summary},
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": {"Error": ERROR_SCHEMA, **self.schemas},
                "securitySchemes": {name: dict(scheme) for name, scheme in self.security.items()},
            },
        }


ERROR_SCHEMA: Schema = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "integer", "minimum": 400, "maximum": 599, "description": "the status"},
        "message": {"type": "string", "description": "what is wrong"},
        "max_ids": {"type": "integer", "minimum": 0, "description": "of a 413: how many ids fit into a request"},
        "error": {"type": "string", "description": "of a 401 or 403: a word for the reason"},
    },
}
_RETRY_AFTER = {"Retry-After": "after how many seconds another try is welcome"}
_ERRORS: Mapping[int, Answer] = {
    status: Answer(status, meaning, {JSON: reference("Error")}, headers)
    for status, meaning, headers in (
        (400, "The request cannot be understood; the message names what is wrong.", {}),
        (401, "There is no token, or one that is not valid.", {"WWW-Authenticate": "where tokens are given"}),
        (403, "The token's user may not do this.", {}),
        (404, "There is no such dataset, run, table or path.", {}),
        (408, "The body took too long to arrive.", {}),
        (409, "The state of a run does not allow it.", {}),
        (413, "A body, a list of ids or the answer is too large; the message says the limit.", {}),
        (415, "The content encoding is not understood.", {}),
        (429, "The caller asks too much in too short a time.", _RETRY_AFTER),
        (500, "A fault of ours.", {}),
        (502, "What another service answers cannot be used.", {}),
        (503, "Something that is needed is away; another try may succeed.", _RETRY_AFTER),
    )
}


def errors(*statuses: int) -> tuple[Answer, ...]:
    """The errors of some statuses, as every function answers them."""
    return tuple(_ERRORS[status] for status in statuses)


def description_route(path: str, name: str) -> Route:
    """The route of the description itself."""
    answer = Answer(200, "The description.", {JSON: {"type": "object", "required": ["openapi", "info", "paths"]}})
    return Route(path, "GET", name, "This description, in OpenAPI 3.1.", (answer,))


def health_routes(paths: Iterable[str], more: Mapping[str, Schema]) -> tuple[Route, ...]:
    """The routes that tell whether a function is alive.

    Args:
      paths: all of them answer the same.
      more: schemas of what the answer says beside `status`.
    """
    schema = {"type": "object", "required": ["status", *more], "properties": {"status": {"const": "ok"}, **more}}
    answer = Answer(200, "It is alive.", {JSON: schema})
    return tuple(Route(path, "GET", path.strip("/"), "Whether the function is alive.", (answer,)) for path in paths)


def asset_route(base: str) -> Route:
    """The route of a page's files, below the page's folder."""
    parameter = Parameter("name", "A file, with the hash of what is in it in its name.", {"type": "string"}, "path")
    kinds: dict[str, Schema] = {kind: {} for kind in ("text/javascript", "text/css", "text/plain", "image/svg+xml")}
    answers = (Answer(200, "The file.", kinds), Answer(304, "The caller has it."), *errors(404))
    path = base + ASSETS_PATH.replace("<name>", "{name}")
    return Route(path, "GET", "asset", "A file of the page.", answers, (parameter,))
