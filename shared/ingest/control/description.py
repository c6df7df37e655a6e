"""The ingest function's description: its routes follow from the table of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.config.version import VERSION
from shared.ingest.audit import COUNTED
from shared.ingest.control.chunk_map import AXES
from shared.ingest.control.fields import Field, Kind
from shared.ingest.control.operation import AnswerKind, Operation
from shared.ingest.export import BYTES, EXPORT_COUNTS, FILES
from shared.ingest.kind import RunKind
from shared.ingest.progress import RunState
from shared.ingest.task import EXPAND_PATH, path_of
from shared.web.description import OPENAPI_PATH
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

_CALLER = ("identity",)
_FOREIGN = replace(*errors(403), meaning="A browser sent it for a page that is not the function's own.")
_ERRORS = errors(400, 404, 408, 409, 413, 415, 500, 502, 503)
_PAGE_SHOWN = Answer(200, "To browsers.", {HTML: {"type": "string"}}, {"Link": "where this description is"})
_NO_PAGE = Answer(405, "To all others: there is nothing to be read.", {JSON: reference("Error")})
_TEXT, _NUMBER, _FLAG = ({"type": name} for name in ("string", "number", "boolean"))
_COUNT = {"type": "integer", "minimum": 0}


def describe_ingest(operations: Sequence[Operation]) -> dict[str, Any]:
    """The description in JSON's types.

    Args:
      operations: what can be asked for.
    """
    platform = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "an identity token of Google's, which the platform checks",
    }
    api = Api(
        "L2 cache: ingest",
        VERSION,
        "Plans, starts and watches the computing of whole cache tables.",
        _routes(operations),
        _SCHEMAS,
        {"identity": platform},
    )
    return api.document()


def _routes(operations: Sequence[Operation]) -> tuple[Route, ...]:
    listed = Answer(200, "The operations.", {JSON: reference("Operations")})
    return (
        *(route for operation in operations for route in _operation_routes(operation)),
        _call_route(operations),
        Route("/operations", "GET", "operations", "All operations and their fields.", (listed,), needs=_CALLER),
        *map(_expand_route, RunKind),
        Route("/", "GET", "page", "A page for people.", (_PAGE_SHOWN, _NO_PAGE)),
        asset_route(""),
        description_route(OPENAPI_PATH, "openapi"),
        *health_routes(HEALTH_PATHS, {}),
    )


def _operation_routes(operation: Operation) -> tuple[Route, ...]:
    answers = (Answer(200, "Done.", {JSON: answer_schema(operation)}), *_ERRORS)
    changing = (*answers, _FOREIGN)
    path, summary, body = f"/{operation.name}", operation.help, {JSON: arguments_schema(operation.fields)}
    posted = Route(path, "POST", operation.name, summary, changing, body=body, needs=_CALLER)
    if not operation.reads_only:
        return (posted,)
    parameters = tuple(
        Parameter(field.name, field.help, _in_query(field), is_required=field.is_required) for field in operation.fields
    )
    return (posted, Route(path, "GET", f"get_{operation.name}", summary, answers, parameters, needs=_CALLER))


def _expand_route(kind: RunKind) -> Route:
    enqueued = Answer(200, "How many tasks it made.", {JSON: _object({"new_tasks": _COUNT})})
    dropped = Answer(204, "It can never succeed, and is not to be sent again.")
    return Route(
        path_of(EXPAND_PATH, kind),
        "POST",
        "expand" if kind is RunKind.INGEST else f"expand_{kind.value}",
        f"A task of the queue for {kind.value}s, which nobody else sends.",
        (enqueued, dropped, *errors(400, 408, 500, 503), _FOREIGN),
        body={JSON: {"type": "object"}},
        needs=_CALLER,
    )


def _call_route(operations: Sequence[Operation]) -> Route:
    bodies, answers = [], []
    for operation in operations:
        named = {"operation": {"const": operation.name}}
        bodies.append(arguments_schema(operation.fields, named))
        answers.append(answer_schema(operation))
    distinct = [schema for number, schema in enumerate(answers) if schema not in answers[:number]]
    return Route(
        "/",
        "POST",
        "call",
        "Any operation, named in the body: what `gcloud functions call` can send.",
        (Answer(200, "Done.", {JSON: {"anyOf": distinct}}), *_ERRORS, _FOREIGN),
        body={JSON: {"oneOf": bodies}},
        needs=_CALLER,
    )


def arguments_schema(fields: Sequence[Field], more: Mapping[str, Schema] | None = None) -> Schema:
    """The schema of an operation's arguments as a JSON object; those of `more` must be there as well."""
    further = dict(more or {})
    return {
        "type": "object",
        "required": [*further, *(field.name for field in fields if field.is_required)],
        "properties": {**further, **{field.name: field_schema(field) for field in fields}},
        "additionalProperties": False,
    }


def field_schema(field: Field) -> Schema:
    """The schema of a field's value in JSON."""
    schema = {"description": field.help, **_KINDS[field.kind]}
    if field.kind is Kind.WHOLE:
        schema |= {"minimum": field.least, "maximum": field.most}
    if field.kind is Kind.CHOICE:
        schema["enum"] = list(field.choices)
    if field.is_required:
        schema |= {"type": "string", "minLength": 1} if field.kind is Kind.TEXT else {}
    if field.default is not None:
        schema["default"] = field.default
    return schema


def _in_query(field: Field) -> Schema:
    """The schema of a field's value as a parameter of a query."""
    if field.kind is Kind.BOX:
        return {"type": "string", "pattern": "^[^,:]+,[^,:]+,[^,:]+:[^,:]+,[^,:]+,[^,:]+$"}
    return field_schema(field)


def answer_schema(operation: Operation) -> Schema:
    """The schema of what an operation answers."""
    return _ANSWERS[operation.answer]


def _object(properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    further = optional or {}
    return {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, **further},
        "additionalProperties": False,
    }


def _list(items: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": items, **bounds}


_CHUNK = _list(_COUNT, minItems=3, maxItems=3)
_CORNER = _list(_NUMBER, minItems=3, maxItems=3)
_KINDS: Mapping[Kind, Schema] = {
    Kind.TEXT: {"type": ["string", "null"]},
    Kind.WHOLE: {"type": "integer"},
    Kind.FLAG: {"type": "boolean"},
    Kind.CHOICE: {"type": "string"},
    Kind.MOMENT: {"type": ["string", "null"], "examples": ["2026-06-01 00:00:00", "2026-06-01T02:00:00+02:00"]},
    Kind.BOX: {"type": ["array", "null"], "items": _CORNER, "minItems": 2, "maxItems": 2},
}
_RUN = {
    "run_id": _TEXT,
    "dataset": _TEXT,
    "table": _TEXT,
    "timestamp": {"type": "string", "description": "the moment of the graph, UTC"},
    "chunks": _object({"start": _CHUNK, "stop": _CHUNK}),
}
_RUN_STATUS = {
    **_RUN,
    "started": _TEXT,
    "generation": _COUNT,
    "state": {"enum": [state.value for state in RunState]},
    "finished": _FLAG,
    "total_chunks": _COUNT,
    "completed_chunks": _COUNT,
    "failed_chunks": _COUNT,
    "rows": _COUNT,
    "foreign_supervoxels": _COUNT,
    "chunks_per_s": _NUMBER,
    "time_left_s": {"type": ["integer", "null"]},
}
_RETRYING = {"retrying_chunks": _COUNT, "retrying": _list(_object({"reason": _TEXT, "chunks": _COUNT}))}
_AUDITED = dict.fromkeys(COUNTED, _COUNT)
_AUDIT_STATUS = {
    **_RUN_STATUS,
    "kind": {"const": RunKind.AUDIT.value},
    "repair": _FLAG,
    "verify": _COUNT,
    "audit": _object(
        {
            **_AUDITED,
            "differing_attributes": {"type": "object", "additionalProperties": _COUNT},
            "differing_rows": _list(_TEXT),
        }
    ),
}
_EXPORT_STATUS = {
    **_RUN_STATUS,
    "kind": {"const": RunKind.EXPORT.value},
    "destination": _TEXT,
    "attributes": {**_list(_TEXT), "description": "only these; all if there is none"},
    "at_moment": {"type": "boolean", "description": "whether only nodes of the moment are exported"},
    "export": _object(
        {
            **dict.fromkeys(EXPORT_COUNTS, _COUNT),
            "other_cells": {"type": "object", "additionalProperties": _COUNT},
        }
    ),
}
_MANIFEST = {"manifest": {"type": ["string", "null"], "description": "its address, when the export has ended"}}
_IMPORT_STATUS = {
    **_RUN_STATUS,
    "kind": {"const": RunKind.IMPORT.value},
    "source": _TEXT,
    "import": _object({FILES: _COUNT, BYTES: _COUNT}),
}
_BLOCK = _object({"start": _CHUNK, "stop": _CHUNK, "chunks": _COUNT, **_AUDITED})
_PLANNED = {
    **_RUN,
    "total_chunks": _COUNT,
    "leaf_tasks": _COUNT,
    "expand_tasks": _list(_COUNT),
    "chunks_per_leaf_at_most": _COUNT,
    "queues": _COUNT,
    "concurrency": _COUNT,
    "core_hours": _NUMBER,
    "wall_hours": _NUMBER,
    "rows": _COUNT,
    "cost_usd": {
        "type": "object",
        "required": ["total", "prices_of"],
        "properties": {"prices_of": _TEXT},
        "additionalProperties": _NUMBER,
    },
}
_PLAN = _object(
    {
        **_PLANNED,
        "table_bytes": _COUNT,
        "table_nodes": _COUNT,
        "rates": _object({"core_s_per_chunk": _NUMBER, "rows_per_chunk": _NUMBER, "origin": _TEXT}),
        "cost_beside_usd": {"type": "object", "additionalProperties": _NUMBER},
    }
)
_UNREADABLE = _object({"run_id": _TEXT, "state": {"enum": ["unreadable", "dismissed"]}, "reason": _TEXT})
_NEXT = {"next": {"type": "string", "description": "`after` of the following page; empty after the last"}}
_FAILED_PAGE = _object({"failed": _list(_object({"chunk": _CHUNK, "reason": _TEXT})), **_NEXT})
_COUNTS = _list(_list(_COUNT))
_PROJECTION = _object(
    {
        "columns": {"enum": list(AXES)},
        "rows": {"enum": list(AXES)},
        "done": _COUNTS,
        "failed": _COUNTS,
        "open": _COUNTS,
        "missing": _list(_list(_NUMBER)),
    }
)
_MAP = _object(
    {**_RUN, "cell_chunks": _CHUNK, "cells": _CHUNK, "along": _object(dict.fromkeys(AXES, reference("Projection")))}
)
_PACE = _object({**_RUN, "generation": _COUNT, "start": _TEXT, "step_s": _NUMBER, "chunks_per_s": _list(_NUMBER)})
_DATASET_RUNS = _object(
    {
        "dataset": _TEXT,
        "table": _TEXT,
        "has_table": _FLAG,
        "runs": _list(reference("Status")),
        "older_runs": _COUNT,
        "unreadable": _list(reference("UnreadableRun")),
    }
)
_OPERATION = _object(
    {
        "name": _TEXT,
        "help": _TEXT,
        "path": _TEXT,
        "methods": _list({"enum": ["GET", "POST"]}),
        "answer": {"enum": [kind.value for kind in AnswerKind]},
        "fields": _list({"type": "object", "required": ["name", "kind", "help"]}),
    }
)
_SCHEMAS: Mapping[str, Schema] = {
    "Status": {
        "anyOf": [reference(f"{kind}Status") for kind in ("Ingest", "Audit", "Export", "Import")],
    },
    "IngestStatus": _object(_RUN_STATUS, _RETRYING),
    "AuditStatus": _object(_AUDIT_STATUS, _RETRYING),
    "ExportStatus": _object(_EXPORT_STATUS, {**_RETRYING, **_MANIFEST}),
    "ImportStatus": _object(_IMPORT_STATUS, _RETRYING),
    "Coverage": _object({**_AUDIT_STATUS, "blocks": _list(_BLOCK)}, _NEXT),
    "Plan": _PLAN,
    "AuditPlan": _object({**_PLANNED, "kind": {"const": RunKind.AUDIT.value}}),
    "FilesPlan": _object(
        {**_PLANNED, "kind": {"enum": ["export", "import"]}, "files_bytes": _COUNT, "table_nodes": _COUNT}
    ),
    "UnreadableRun": _UNREADABLE,
    "FailedChunks": _FAILED_PAGE,
    "Runs": _object({"runs": _list(reference("Status")), "unreadable": _list(reference("UnreadableRun"))}),
    "Overview": _object({"datasets": _list(_DATASET_RUNS)}),
    "Projection": _PROJECTION,
    "Map": _MAP,
    "Pace": _PACE,
    "Operations": _object(
        {"operations": _list(_OPERATION), "forms": {"type": "object", "additionalProperties": _TEXT}}
    ),
}
_ANSWERS: Mapping[AnswerKind, Schema] = {
    AnswerKind.DOCUMENT: {"type": "object"},
    AnswerKind.PLAN: reference("Plan"),
    AnswerKind.RUN: reference("Status"),
    AnswerKind.STARTED: reference("Status"),
    AnswerKind.CANCELLED: {"anyOf": [reference("Status"), reference("UnreadableRun")]},
    AnswerKind.FAILED: reference("FailedChunks"),
    AnswerKind.RUNS: reference("Runs"),
    AnswerKind.AUDIT_PLAN: reference("AuditPlan"),
    AnswerKind.COVERAGE: reference("Coverage"),
    AnswerKind.OVERVIEW: reference("Overview"),
    AnswerKind.MAP: reference("Map"),
    AnswerKind.PACE: reference("Pace"),
    AnswerKind.FILES_PLAN: reference("FilesPlan"),
}
