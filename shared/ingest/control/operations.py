"""The operations of an operator. `OPERATIONS` is the only place that names them: a new one is one more entry.

HTTP routes, calls at `/`, the checks of a request, their error texts, the description that `GET /operations` answers
and, from that description, the commands of the terminal client: all follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias

from shared.errors import BadRequestError, UnknownDatasetError
from shared.ingest.control import answers
from shared.ingest.control.audits import AUDIT_FIELDS, AuditRequest, plan_audit, start_audit
from shared.ingest.control.chunk_map import MOST_CELLS, map_chunks
from shared.ingest.control.coverage import COVERAGE_FIELDS, coverage
from shared.ingest.control.exports import EXPORT_FIELDS, ExportRequest, plan_export, put_manifest, start_export
from shared.ingest.control.fields import FORMS, Field, Kind, Values, read_fields
from shared.ingest.control.imports import IMPORT_FIELDS, ImportRequest, plan_import, start_import
from shared.ingest.control.overview import MOST_RUNS, overview
from shared.ingest.control.pace import MOST_STEPS, pace_of
from shared.ingest.control.request import CREATE, DATASET, REQUEST_FIELDS, StartRequest
from shared.ingest.control.service import IngestService
from shared.ingest.kind import RunKind
from shared.ingest.progress import RunStatus

Answer: TypeAlias = dict[str, Any]


class AnswerKind(StrEnum):
    """What an operation answers; clients choose by it how to show the answer."""

    DOCUMENT = "document"
    """Any JSON object."""
    PLAN = "plan"
    """What an ingest will take."""
    RUN = "run"
    """How far a run is."""
    STARTED = "started"
    """How far a run is that goes on from now."""
    CANCELLED = "cancelled"
    """How far a run was that goes on no more."""
    FAILED = "failed"
    """A page of failed chunks."""
    RUNS = "runs"
    """Several runs."""
    AUDIT_PLAN = "audit_plan"
    """What an audit will take."""
    COVERAGE = "coverage"
    """What an audit has found, by blocks."""
    OVERVIEW = "overview"
    """All datasets with their newest runs."""
    MAP = "map"
    """A run's chunks, seen along each axis."""
    PACE = "pace"
    """How fast a run was over time."""
    FILES_PLAN = "files_plan"
    """What an export or an import will take."""


@dataclass(frozen=True)
class Operation:
    """Something that an operator can ask for.

    Attributes:
      name: in paths, in calls at `/` and in the terminal.
      help: what it does, in a sentence.
      fields: its arguments.
      run: does it, given the service and a value for each field.
      reads_only: whether it changes nothing; it is then answered to GET as well, with a query.
      answer: what it answers.
    """

    name: str
    help: str
    fields: tuple[Field, ...]
    run: Callable[[IngestService, Values], Answer]
    reads_only: bool = False
    answer: AnswerKind = AnswerKind.DOCUMENT

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that it is answered to."""
        return ("GET", "POST") if self.reads_only else ("POST",)

    def from_query(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of a query as the JSON object that means the same."""
        fields = {field.name: field for field in self.fields}
        return {name: fields[name].from_query(text) if name in fields else text for name, text in query.items()}

    def describe(self) -> dict[str, Any]:
        """The operation in JSON's types, for whoever builds a client or documentation."""
        return {
            "name": self.name,
            "help": self.help,
            "path": f"/{self.name}",
            "methods": list(self.methods),
            "answer": self.answer.value,
            "fields": [field.describe() for field in self.fields],
        }


def _plan(service: IngestService, values: Values) -> Answer:
    return answers.plan(service.plan(StartRequest.from_values(values), values["concurrency"]))


def _start(service: IngestService, values: Values) -> Answer:
    dataset, run_id = values["dataset"], values["run"]
    if not values["resume"]:
        if run_id is not None:
            raise BadRequestError("run names a run to be resumed: give it with resume, or leave it out")
        return answers.status(service.start(StartRequest.from_values(values)))
    if values["timestamp"] or values["bounding_box"] or values["test"]:
        run_id = service.run_id(StartRequest.from_values(values))
    return answers.status(service.resume(dataset, run_id))


def _status(service: IngestService, values: Values) -> Answer:
    status = service.status(values["dataset"], values["run"])
    answer = answers.status(status) | (answers.retrying(status) if values["retrying"] else {})
    return answer | ({"manifest": put_manifest(service, status)} if status.run.kind is RunKind.EXPORT else {})


def _failed(service: IngestService, values: Values) -> Answer:
    return answers.failed(service.failed(values["dataset"], values["run"], values["limit"], values["after"] or ""))


def _retry(service: IngestService, values: Values) -> Answer:
    return answers.status(service.retry(values["dataset"], values["run"]))


def _fill(service: IngestService, values: Values) -> Answer:
    return answers.status(service.fill(values["dataset"], values["run"]))


def _cancel(service: IngestService, values: Values) -> Answer:
    cancelled = service.cancel(values["dataset"], values["run"])
    return answers.status(cancelled) if isinstance(cancelled, RunStatus) else answers.dismissed(cancelled)


def _runs(service: IngestService, values: Values) -> Answer:
    return {
        "runs": [answers.status(status) for status in service.runs(values["dataset"])],
        "unreadable": [answers.unreadable(run) for run in service.unreadable_runs(values["dataset"])],
    }


def _audit(service: IngestService, values: Values) -> Answer:
    return answers.status(start_audit(service, AuditRequest.from_values(values)))


def _plan_audit(service: IngestService, values: Values) -> Answer:
    return answers.audit_plan(plan_audit(service, AuditRequest.from_values(values), values["concurrency"]))


def _coverage(service: IngestService, values: Values) -> Answer:
    limit, after = values["limit"], values["after"]
    found = coverage(service, values["dataset"], limit, after)
    return answers.coverage(found, is_paged=limit is not None or after is not None)


def _overview(service: IngestService, values: Values) -> Answer:
    return answers.overview(overview(service, values["newest"]))


def _map(service: IngestService, values: Values) -> Answer:
    ledger = service.ledger(values["dataset"], values["run"])
    run = ledger.find(values["run"])
    return answers.chunk_map(map_chunks(run, ledger.pieces(run), values["cells"]))


def _pace(service: IngestService, values: Values) -> Answer:
    ledger = service.ledger(values["dataset"], values["run"])
    run = ledger.find(values["run"])
    pieces, now_s = ledger.pieces(run), service.clock()
    state = RunStatus.of_pieces(run, pieces, now_s, is_cancelled=ledger.is_cancelled(run)).state
    return answers.pace(pace_of(run, pieces, state, now_s, values["generation"], values["steps"]))


def _export(service: IngestService, values: Values) -> Answer:
    return answers.status(start_export(service, ExportRequest.from_values(values)))


def _plan_export(service: IngestService, values: Values) -> Answer:
    return answers.files_plan(plan_export(service, ExportRequest.from_values(values), values["concurrency"]))


def _import(service: IngestService, values: Values) -> Answer:
    return answers.status(start_import(service, ImportRequest.from_values(values)))


def _plan_import(service: IngestService, values: Values) -> Answer:
    return answers.files_plan(plan_import(service, ImportRequest.from_values(values), values["concurrency"]))


_CONCURRENCY = Field("concurrency", Kind.WHOLE, "Leaf tasks at a time.", default=1000, least=1, most=1_000_000)
EXPORTED_FIELDS = tuple(
    replace(field, help="Only rows of nodes that the graph has at it, UTC; all rows if left out.")
    if field.name == "timestamp"
    else field
    for field in REQUEST_FIELDS
)
"""What says which rows are exported."""

_RUN = Field("run", Kind.TEXT, "The run's id; the newest ingest if left out.")

OPERATIONS = (
    Operation(
        "plan",
        "What an ingest would take and cost; nothing is started.",
        (
            *REQUEST_FIELDS,
            replace(CREATE, help="As for start; a plan makes no table."),
            _CONCURRENCY,
        ),
        _plan,
        reads_only=True,
        answer=AnswerKind.PLAN,
    ),
    Operation(
        "start",
        "Starts an ingest, or resumes one.",
        (
            *REQUEST_FIELDS,
            CREATE,
            Field("resume", Kind.FLAG, "Go on with a cancelled or stuck run; what is done is skipped.", default=False),
            Field("run", Kind.TEXT, "The run to resume; the newest ingest if left out."),
        ),
        _start,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "status",
        "How far a run is.",
        (
            DATASET,
            _RUN,
            Field("retrying", Kind.FLAG, "Also what is tried again, and why it had failed.", default=False),
        ),
        _status,
        reads_only=True,
        answer=AnswerKind.RUN,
    ),
    Operation(
        "failed",
        "The chunks that failed, with their reasons.",
        (
            DATASET,
            _RUN,
            Field("limit", Kind.WHOLE, "Most chunks in an answer.", default=1000, least=1, most=10_000),
            Field("after", Kind.TEXT, "The following page: `next` of the page before."),
        ),
        _failed,
        reads_only=True,
        answer=AnswerKind.FAILED,
    ),
    Operation(
        "retry",
        "Does the failed chunks of a finished run again, and only them.",
        (DATASET, _RUN),
        _retry,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "fill",
        "Computes a finished run's chunks again, if rows lack attributes that this version has.",
        (DATASET, _RUN),
        _fill,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "cancel",
        "Stops a run; what is done stays done.",
        (DATASET, _RUN),
        _cancel,
        answer=AnswerKind.CANCELLED,
    ),
    Operation("runs", "All runs of a dataset.", (DATASET,), _runs, reads_only=True, answer=AnswerKind.RUNS),
    Operation(
        "audit",
        "Compares the rows of a table, whoever wrote them, with the graph, and computes missing ones if told to.",
        (*REQUEST_FIELDS, *AUDIT_FIELDS),
        _audit,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "plan_audit",
        "What an audit would take and cost, but for what it repairs; nothing is started.",
        (*REQUEST_FIELDS, *AUDIT_FIELDS, _CONCURRENCY),
        _plan_audit,
        reads_only=True,
        answer=AnswerKind.AUDIT_PLAN,
    ),
    Operation(
        "coverage",
        "What the last audit has found, by blocks of chunks.",
        (DATASET, *COVERAGE_FIELDS),
        _coverage,
        reads_only=True,
        answer=AnswerKind.COVERAGE,
    ),
    Operation(
        "overview",
        "All datasets with their newest runs.",
        (Field("newest", Kind.WHOLE, "Runs of each dataset and kind.", default=1, least=0, most=MOST_RUNS),),
        _overview,
        reads_only=True,
        answer=AnswerKind.OVERVIEW,
    ),
    Operation(
        "map",
        "Where chunks of a run are done, failed or open, and where an audit has missed rows, seen along each axis.",
        (
            DATASET,
            _RUN,
            Field("cells", Kind.WHOLE, "Most cells along an axis.", default=64, least=1, most=MOST_CELLS),
        ),
        _map,
        reads_only=True,
        answer=AnswerKind.MAP,
    ),
    Operation(
        "pace",
        "How fast a run was over time.",
        (
            DATASET,
            _RUN,
            Field("generation", Kind.WHOLE, "Of the run; the present one if left out.", least=0, most=1_000_000),
            Field("steps", Kind.WHOLE, "Into how many the time is cut.", default=60, least=1, most=MOST_STEPS),
        ),
        _pace,
        reads_only=True,
        answer=AnswerKind.PACE,
    ),
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
        (*EXPORTED_FIELDS, *EXPORT_FIELDS, _CONCURRENCY),
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
        (DATASET, *IMPORT_FIELDS, replace(CREATE, help="As for import; a plan makes no table."), _CONCURRENCY),
        _plan_import,
        reads_only=True,
        answer=AnswerKind.FILES_PLAN,
    ),
)
"""All operations, in the order in which they are listed."""


@dataclass(frozen=True)
class Operations:
    """Does operations by name: a JSON document in, one out, whatever carries them.

    Attributes:
      service: what they act on.
      now: the present moment, aware.
      known: the operations.
    """

    service: IngestService
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    known: tuple[Operation, ...] = OPERATIONS

    def names(self) -> tuple[str, ...]:
        """The operations' names."""
        return tuple(operation.name for operation in self.known)

    def run(self, name: str, document: object) -> Answer:
        """Does an operation.

        Args:
          name: of the operation.
          document: its decoded JSON arguments.

        Returns:
          The answer in JSON's types.

        Raises:
          BadRequestError: naming what is unknown, missing or wrong; an unknown dataset among it.
          L2CacheError: what the operation raises.
        """
        operation = next((operation for operation in self.known if operation.name == name), None)
        if operation is None:
            raise BadRequestError(f"unknown operation {name[:40]!r}; known are {', '.join(self.names())}")
        values = read_fields(document, operation.fields, self.now(), f"the arguments of {name}")
        try:
            return operation.run(self.service, values)
        except UnknownDatasetError as error:
            raise BadRequestError(str(error)) from error


def describe(operations: Sequence[Operation] = OPERATIONS) -> dict[str, Any]:
    """Operations and their fields in JSON's types, and how values of each kind of field are written."""
    return {
        "operations": [operation.describe() for operation in operations],
        "forms": {kind.value: form for kind, form in FORMS.items()},
    }
