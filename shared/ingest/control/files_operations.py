"""Operations that write tables to files, and files to tables."""

from __future__ import annotations

from dataclasses import replace

from shared.ingest.control import answers
from shared.ingest.control.exports import EXPORT_FIELDS, ExportRequest, plan_export, start_export
from shared.ingest.control.fields import Values
from shared.ingest.control.imports import IMPORT_FIELDS, ImportRequest, plan_import, start_import
from shared.ingest.control.operation import CONCURRENCY, Answer, AnswerKind, Operation
from shared.ingest.control.request import CREATE, DATASET, REQUEST_FIELDS
from shared.ingest.control.service import IngestService

EXPORTED_FIELDS = tuple(
    replace(field, help="Only rows of nodes that the graph has at it, UTC; all rows if left out.")
    if field.name == "timestamp"
    else field
    for field in REQUEST_FIELDS
)
"""What says which rows are exported."""


def _export(service: IngestService, values: Values) -> Answer:
    return answers.status(start_export(service, ExportRequest.from_values(values)))


def _plan_export(service: IngestService, values: Values) -> Answer:
    return answers.files_plan(plan_export(service, ExportRequest.from_values(values), values["concurrency"]))


def _import(service: IngestService, values: Values) -> Answer:
    return answers.status(start_import(service, ImportRequest.from_values(values)))


def _plan_import(service: IngestService, values: Values) -> Answer:
    return answers.files_plan(plan_import(service, ImportRequest.from_values(values), values["concurrency"]))


FILES_OPERATIONS = (
    Operation(
        "export",
        "Writes the rows of a table to Parquet files: all of them, or those of the nodes at a moment.",
        (*EXPORTED_FIELDS, *EXPORT_FIELDS),
        _export,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "plan_export",
        "What an export would take and cost; nothing is started.",
        (*EXPORTED_FIELDS, *EXPORT_FIELDS, CONCURRENCY),
        _plan_export,
        reads_only=True,
        answer=AnswerKind.FILES_PLAN,
    ),
    Operation(
        "import",
        "Writes the rows of an export into a table, byte for byte.",
        (DATASET, *IMPORT_FIELDS, CREATE),
        _import,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "plan_import",
        "What an import would take and cost; nothing is started.",
        (DATASET, *IMPORT_FIELDS, replace(CREATE, help="As for import; a plan makes no table."), CONCURRENCY),
        _plan_import,
        reads_only=True,
        answer=AnswerKind.FILES_PLAN,
    ),
)
"""In the order in which they are listed."""
