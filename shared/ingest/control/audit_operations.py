"""Operations about how complete a table is."""

from __future__ import annotations

from shared.ingest.control import answers
from shared.ingest.control.audits import AUDIT_FIELDS, AuditRequest, plan_audit, start_audit
from shared.ingest.control.coverage import coverage
from shared.ingest.control.fields import Field, Kind, Values
from shared.ingest.control.operation import AFTER, CONCURRENCY, Answer, AnswerKind, Operation
from shared.ingest.control.request import DATASET, REQUEST_FIELDS
from shared.ingest.control.service import IngestService


def _audit(service: IngestService, values: Values) -> Answer:
    return answers.status(start_audit(service, AuditRequest.from_values(values)))


def _plan_audit(service: IngestService, values: Values) -> Answer:
    return answers.audit_plan(plan_audit(service, AuditRequest.from_values(values), values["concurrency"]))


def _coverage(service: IngestService, values: Values) -> Answer:
    limit, after = values["limit"], values["after"]
    found = coverage(service, values["dataset"], limit, after)
    return answers.coverage(found, is_paged=limit is not None or after is not None)


AUDIT_OPERATIONS = (
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
        (*REQUEST_FIELDS, *AUDIT_FIELDS, CONCURRENCY),
        _plan_audit,
        reads_only=True,
        answer=AnswerKind.AUDIT_PLAN,
    ),
    Operation(
        "coverage",
        "What the last audit has found, by blocks of chunks.",
        (
            DATASET,
            Field("limit", Kind.WHOLE, "Most blocks in an answer; all if left out.", least=1, most=10_000),
            AFTER,
        ),
        _coverage,
        reads_only=True,
        answer=AnswerKind.COVERAGE,
    ),
)
"""In the order in which they are listed."""
