"""The description of the routes that tell of whole neurons: what they add up to, and what they consist of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.lookup.parameters import Option
from shared.lookup.totals_answer import FIELDS
from shared.lookup.totals_query import L2_IDS_OPTIONS, MOST_ROOTS, TOTALS_OPTIONS
from shared.web.openapi import JSON, Answer, Parameter, Route, Schema, reference

_COORDINATE: Schema = {"type": "number"}
_POINT: Schema = {"type": "array", "items": _COORDINATE, "minItems": 3, "maxItems": 3}
_BOX: Schema = {"type": "array", "items": _POINT, "minItems": 2, "maxItems": 2}
_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}
_ID: Schema = {"type": ["integer", "string", "null"], "minimum": 0}
_SUM: Schema = {"type": ["number", "string", "null"], "minimum": 0}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_SHAPES: dict[str, Schema] = {
    **dict.fromkeys(("n_l2", "n_cached", "n_empty", "n_missing", "max_dt_nm"), _COUNT),
    "complete": {"type": ["boolean", "null"]},
    **dict.fromkeys(("size_nm3", "area_nm2"), _SUM),
    "bounds_nm": _or_null(_BOX),
    "rep_coord_nm": _or_null(_POINT),
    "rep_l2_id": _ID,
    "error": {"type": ["string", "null"]},
}
_MAY_BE_TEXT = ("size_nm3", "area_nm2", "rep_l2_id")
_TOTAL: dict[str, Schema] = {
    name: {"description": meaning + ("; a text if that is asked for" if name in _MAY_BE_TEXT else ""), **_SHAPES[name]}
    for name, meaning in FIELDS.items()
}

TOTALS_SCHEMAS: dict[str, Schema] = {
    "Roots": {
        "type": "object",
        "required": ["node_ids"],
        "properties": {
            "node_ids": {"type": "array", "items": reference("L2Id"), "maxItems": MOST_ROOTS},
            "bounds": {"description": "in nm, the second corner exclusive", **_or_null(_BOX)},
        },
    },
    "Total": {"type": "object", "required": [*_TOTAL], "properties": _TOTAL, "additionalProperties": False},
    "Totals": {
        "type": "object",
        "propertyNames": {"pattern": "^[0-9]{1,20}$"},
        "additionalProperties": reference("Total"),
    },
    "NodesOfRoots": {
        "type": "object",
        "propertyNames": {"pattern": "^[0-9]{1,20}$"},
        "additionalProperties": {
            "type": "object",
            "required": ["l2_ids", "error"],
            "properties": {
                "l2_ids": {
                    "description": "ascending; texts if that is asked for",
                    **_or_null({"type": "array", "items": reference("L2Id")}),
                },
                "error": {"description": "why there are none of this root", "type": ["string", "null"]},
            },
            "additionalProperties": False,
        },
    },
}
"""The schemas that the routes refer to."""


def totals_route(
    path: str,
    parameters: tuple[Parameter, ...],
    tables: Mapping[str, Schema],
    headers: Mapping[str, str],
    failures: tuple[Answer, ...],
    needs: tuple[str, ...],
) -> Route:
    """The route.

    Args:
      path: with `{dataset}` in it.
      parameters: of the path and the headers.
      tables: the forms of tables, by media type.
      headers: of answers to requests about nodes.
      failures: the errors of all routes that read rows.
      needs: the security schemes of which one must be met.
    """
    meaning = "The totals by root, ascending. As a table: a row for each root."
    answer = Answer(200, meaning, {JSON: reference("Totals"), **tables}, headers)
    options = _parameters(TOTALS_OPTIONS)
    summary = "What whole neurons add up to; what is missing is computed."
    body = {JSON: reference("Roots")}
    return Route(path, "POST", "totals", summary, (answer, *failures), (*parameters, *options), body, needs)


def l2_ids_route(
    path: str,
    parameters: tuple[Parameter, ...],
    headers: Mapping[str, str],
    failures: tuple[Answer, ...],
    needs: tuple[str, ...],
) -> Route:
    """The route; the arguments are those of `totals_route`."""
    answer = Answer(200, "The L2 ids by root, ascending.", {JSON: reference("NodesOfRoots")}, headers)
    summary = "Which L2 nodes whole neurons consist of, within bounds those whose chunks meet them."
    options = _parameters(L2_IDS_OPTIONS)
    body = {JSON: reference("Roots")}
    return Route(path, "POST", "l2_ids", summary, (answer, *failures), (*parameters, *options), body, needs)


def _parameters(options: Sequence[Option]) -> tuple[Parameter, ...]:
    return tuple(Parameter(option.name, option.meaning, option.schema) for option in options)
