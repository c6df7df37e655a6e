"""The look-up function's description: all its routes, out of the tables that it works by.

A further route is one more entry of `_routes`; a test holds them to the routes that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.attributes import Attribute, AttributeTable
from shared.config.settings import Settings
from shared.config.version import VERSION
from shared.lookup.found import STATE_NAMES, IdState
from shared.lookup.limiter import LIMIT, LIMIT_IDS, REMAINING, REMAINING_IDS, RESET
from shared.lookup.parameters import ATTRIBUTES_OPTIONS, IGNORED_HEADER, METADATA_OPTIONS, STATUS_OPTIONS, Option
from shared.lookup.paths import INDEX_PATHS, description_paths, prefixed
from shared.lookup.query import BINARY_TYPE
from shared.lookup.status import STATE_HEADERS, WAITED_HEADER
from shared.lookup.table.negotiation import Form
from shared.lookup.totals_description import TOTALS_SCHEMAS, l2_ids_route, totals_route
from shared.web.health import HEALTH_PATHS
from shared.web.openapi import (
    JSON,
    Answer,
    Api,
    Parameter,
    Route,
    Schema,
    asset_route,
    description_route,
    errors,
    health_routes,
    reference,
)
from shared.web.page import HTML

IGNORED = {IGNORED_HEADER: "names of parameters and keys that mean nothing here, with commas between"}
"""The header of answers to requests with options."""
RATE_LIMITS = {
    LIMIT: "requests that the sender may make in a minute",
    REMAINING: "how many of them are left",
    RESET: "Unix time at which the next minute begins",
    LIMIT_IDS: "ids that the sender may ask for in a minute",
    REMAINING_IDS: "how many of them are left",
}
"""Headers of answers to who was let in, where there are such limits."""
STATES = {
    **{name: f"how many ids are {state.name.lower()}" for name, state in STATE_HEADERS.items()},
    WAITED_HEADER: "how many seconds the request waited",
    "Preference-Applied": "the preference of `Prefer` that was followed",
}
"""Headers that tell how ids stand, and of waiting."""
TABLES: dict[str, Schema] = {
    Form.ARROW.value: {"description": "a stream of Arrow's IPC"},
    Form.CSV.value: {"type": "string"},
}
"""The forms of answers that are tables."""
TOKENS = ("token_header", "token_cookie", "token_query")
"""The ways to send a token, one of which a route needs that is not open."""
DATASET = Parameter("dataset", "A dataset's name, or an alias of it.", {"type": "string"}, place="path")
ENCODING = Parameter("Content-Encoding", "How the body is packed.", {"enum": ["gzip", "identity"]}, place="header")
PREFER = Parameter("Prefer", "`wait=5`, as RFC 7240 has it.", {"type": "string"}, place="header")
LOOK_UP_ERRORS = tuple(
    replace(error, headers={**error.headers, **RATE_LIMITS})
    for error in errors(400, 401, 403, 404, 408, 413, 415, 429, 500, 502, 503)
)
"""What every route that reads rows may answer."""


def describe_lookup(settings: Settings, attributes: AttributeTable) -> dict[str, Any]:
    """The description in JSON's types.

    Args:
      settings: the paths' prefix, the limits, the names under which tokens come.
      attributes: what can be asked for.
    """
    api = Api(
        "L2 cache: look-up",
        VERSION,
        "Attributes of the L2 nodes of chunked graphs.",
        _routes(settings),
        _schemas(settings, attributes),
        _security(settings),
    )
    return api.document()


def parameters_of(options: Sequence[Option]) -> tuple[Parameter, ...]:
    """Options as parameters of the query."""
    return tuple(Parameter(option.name, option.meaning, option.schema) for option in options)


def _routes(settings: Settings) -> tuple[Route, ...]:
    texts = {"text/plain": {"type": "string"}}
    title = Answer(200, "Name and version.", texts, {"Link": "where this description is"})
    page = replace(title, meaning="Name and version; to browsers a page.", content={**texts, HTML: {"type": "string"}})
    types = {"anyOf": [reference("AttributeTypes"), reference("AttributesInFull")]}
    return (
        *_ids_routes(settings),
        totals_route(
            prefixed(settings, "/api/v1/table/{dataset}/totals"),
            (DATASET, ENCODING, PREFER),
            TABLES,
            {**IGNORED, **RATE_LIMITS, **STATES},
            LOOK_UP_ERRORS,
            TOKENS,
        ),
        l2_ids_route(
            prefixed(settings, "/api/v1/table/{dataset}/l2_ids"),
            (DATASET, ENCODING),
            {**IGNORED, **RATE_LIMITS},
            LOOK_UP_ERRORS,
            TOKENS,
        ),
        Route(
            prefixed(settings, "/api/v1/attribute_metadata"),
            "GET",
            "attribute_metadata",
            "The attributes and their types.",
            (Answer(200, "The attributes by name.", {JSON: types}, IGNORED), *errors(400)),
            parameters_of(METADATA_OPTIONS),
        ),
        Route(
            prefixed(settings, "/api/v1/table_mapping"),
            "GET",
            "table_mapping",
            "The datasets and their aliases.",
            (Answer(200, "The datasets by name.", {JSON: reference("Datasets")}, IGNORED),),
        ),
        *(
            Route(prefixed(settings, path), "GET", f"index_{number}", title.meaning, (title if path != "/" else page,))
            for number, path in enumerate(INDEX_PATHS, 1)
        ),
        asset_route(prefixed(settings, "")),
        *(description_route(path, f"openapi_{number}") for number, path in enumerate(description_paths(settings), 1)),
        *health_routes(HEALTH_PATHS, {"version": {"type": "string"}}),
    )


def _ids_routes(settings: Settings) -> tuple[Route, ...]:
    headers = {**IGNORED, **RATE_LIMITS, **STATES}
    nodes = Answer(
        200,
        "The nodes by id, ascending; `{}` for an id without a row. As a table: a row for each id.",
        {JSON: reference("Nodes"), **TABLES},
        headers,
    )
    states = Answer(200, "How many ids are in which state, and which.", {JSON: reference("States")}, headers)
    shapes = (
        ("attributes", "Attributes of L2 nodes; what is missing is computed.", nodes, ATTRIBUTES_OPTIONS),
        ("status", "How L2 ids stand: cached, being computed, given up, ...", states, STATUS_OPTIONS),
    )
    return tuple(
        Route(
            prefixed(settings, f"/api/v1/table/{{dataset}}/{name}"),
            "POST",
            name,
            meaning,
            (answer, *LOOK_UP_ERRORS),
            (DATASET, *parameters_of(options), ENCODING, PREFER),
            ids_body(),
            TOKENS,
        )
        for name, meaning, answer, options in shapes
    )


def ids_body() -> dict[str, Schema]:
    """The body of a request about L2 ids, by media type."""
    raw = {"description": "ids as little-endian uint64, one after the other"}
    return {JSON: reference("L2Ids"), BINARY_TYPE: raw}


def _schemas(settings: Settings, attributes: AttributeTable) -> dict[str, Schema]:
    limit = {"maxItems": settings.max_ids}
    names = list(attributes.names)
    in_body: Schema = {
        "description": "as the parameter of the query, or a list",
        "anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"enum": names}, "minItems": 1}],
    }
    return {
        **TOTALS_SCHEMAS,
        "L2Id": {
            "description": "an unsigned integer of 64 bits; as text where a client has no such numbers",
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
                {"type": "string", "pattern": "^[0-9]{1,100}$"},
            ],
        },
        "L2Ids": {
            "type": "object",
            "required": ["l2_ids"],
            "properties": {
                "l2_ids": {
                    "description": "in any order; nested lists are taken as the flat one",
                    "anyOf": [{"type": "array", "items": reference("L2Id"), **limit}, reference("L2Id")],
                },
                "attribute_names": in_body,
            },
        },
        "Node": {
            "type": "object",
            "properties": {attribute.name: value_schema(attribute) for attribute in attributes},
            "additionalProperties": False,
        },
        "Nodes": {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,20}$"},
            "additionalProperties": reference("Node"),
        },
        "States": _states_schema(),
        "AttributeTypes": _by_name(names, {"type": "string", "pattern": "^<class 'numpy\\.\\w+'>$"}),
        "AttributesInFull": _by_name(names, _FULL_ATTRIBUTE),
        "Datasets": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["cv_path", "l2cache_id"],
                "properties": {
                    "cv_path": {"type": "string", "description": "the graph's address, graphene://..."},
                    "l2cache_id": {"type": "string", "description": "name of the cache table"},
                },
            },
        },
    }


def _states_schema() -> Schema:
    """How ids stand."""
    ids = {"type": "array", "items": {"type": "string", "pattern": "^[0-9]{1,20}$"}}
    moment = {"type": "string", "format": "date-time"}
    failure = {
        "type": "object",
        "required": ["id", "reason", "since"],
        "properties": {"id": ids["items"], "reason": {"type": "string"}, "since": moment},
        "additionalProperties": False,
    }
    failed, unknown = STATE_NAMES[IdState.FAILED], STATE_NAMES[IdState.UNKNOWN]
    listed = dict.fromkeys(STATE_NAMES, ids) | {failed: {"type": "array", "items": failure}}
    since = {"type": "object", "additionalProperties": moment}
    return {
        "type": "object",
        "required": ["counts", "ids", "since"],
        "properties": {
            "counts": _by_name(list(STATE_NAMES), {"type": "integer", "minimum": 0}),
            "ids": {"type": "object", "properties": listed, "additionalProperties": False},
            "since": {"type": "object", "properties": {unknown: since}, "additionalProperties": False},
        },
        "additionalProperties": False,
    }


def value_schema(attribute: Attribute) -> Schema:
    """The schema of an attribute's value as it is answered."""
    if attribute.needs_64_bits:
        schema: Schema = {"type": ["number", "string"], "minimum": 0, "pattern": "^[0-9.]+$"}
    elif attribute.answered.kind in "iu":
        schema = {"type": "integer"}
    else:
        schema = {"type": ["number", "null"]}
    for length in reversed(attribute.shape):
        schema = {"type": "array", "items": schema, "minItems": length, "maxItems": length}
    unit = f", {attribute.unit}" if attribute.unit else ""
    absent = "; nodes may have none" if attribute.mask is not None else ""
    return {"description": f"{attribute.meaning}{unit}{absent}", **schema}


_TYPE = {"type": "string", "description": "numpy's name"}
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 1}}
_FULL_ATTRIBUTE: Schema = {
    "type": "object",
    "required": ["unit", "meaning", "stored", "answered", "optional"],
    "properties": {
        "unit": {"type": "string", "description": "of the answered value; empty for what has none"},
        "meaning": {"type": "string"},
        "stored": {
            "type": "object",
            "required": ["type", "code", "shape"],
            "properties": {"type": _TYPE, "code": {"type": "string", "pattern": "^[<|]"}, "shape": _SHAPE},
        },
        "answered": {"type": "object", "required": ["type", "shape"], "properties": {"type": _TYPE, "shape": _SHAPE}},
        "optional": {"type": "boolean", "description": "whether nodes may have none"},
    },
    "additionalProperties": False,
}


def _by_name(names: list[str], schema: Schema) -> Schema:
    return {
        "type": "object",
        "required": names,
        "properties": dict.fromkeys(names, schema),
        "additionalProperties": False,
    }


def _security(settings: Settings) -> dict[str, dict[str, str]]:
    cookie, query = ({"type": "apiKey", "name": settings.token_name, "in": place} for place in ("cookie", "query"))
    return dict(zip(TOKENS, ({"type": "http", "scheme": "bearer"}, cookie, query), strict=True))
