"""Operations that plan, start, follow and stop runs."""

from __future__ import annotations

from dataclasses import replace

from shared.errors import BadRequestError
from shared.ingest.control import answers
from shared.ingest.control.exports import put_manifest
from shared.ingest.control.fields import Field, Kind, Values
from shared.ingest.control.operation import AFTER, CONCURRENCY, RUN, Answer, AnswerKind, Operation
from shared.ingest.control.request import CREATE, DATASET, REQUEST_FIELDS, StartRequest
from shared.ingest.control.service import IngestService
from shared.ingest.kind import RunKind
from shared.ingest.progress import RunStatus


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


RUN_OPERATIONS = (
    Operation(
        "plan",
        "What an ingest would take and cost; nothing is started.",
        (
            *REQUEST_FIELDS,
            replace(CREATE, help="As for start; a plan makes no table."),
            CONCURRENCY,
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
            RUN,
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
            RUN,
            Field("limit", Kind.WHOLE, "Most chunks in an answer.", default=1000, least=1, most=10_000),
            AFTER,
        ),
        _failed,
        reads_only=True,
        answer=AnswerKind.FAILED,
    ),
    Operation(
        "retry",
        "Does the failed chunks of a finished run again, and only them.",
        (DATASET, RUN),
        _retry,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "fill",
        "Computes a finished run's chunks again, if rows lack attributes that this version has.",
        (DATASET, RUN),
        _fill,
        answer=AnswerKind.STARTED,
    ),
    Operation(
        "cancel",
        "Stops a run; what is done stays done.",
        (DATASET, RUN),
        _cancel,
        answer=AnswerKind.CANCELLED,
    ),
    Operation("runs", "All runs of a dataset.", (DATASET,), _runs, reads_only=True, answer=AnswerKind.RUNS),
)
"""In the order in which they are listed."""
