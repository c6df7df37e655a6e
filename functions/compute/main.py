"""The compute function, for the bus and for the queue's chunk tasks.

POST /chunks   a task of the queue: the chunks of one block of an ingest; /chunks/<kind> for another kind of run
POST /...      a delivery of the bus, at any other path: an edit or a miss, as CloudEvent or as a push body
GET  /health   200, and the messages counted by what became of them

The bus and the queue deliver again whatever is not answered with a 2xx. So what was done is answered with 200 or 204,
and what can never succeed as well, after it was logged as an error; what may succeed later is answered with 503. An
unexpected error is neither: it becomes a 500, is delivered again, and ends among the dead letters. What comes to
another path than `/` and is no delivery of the bus may be a task of another version, during a roll-out: it is answered
with 404, so that the queue delivers it again.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from functools import partial
from typing import Protocol

import flask
import functions_framework

from shared.bus.dead_letters import DeadLetterBox
from shared.bus.open import open_dead_letters
from shared.compute.messages import MessageHandler, Verdict
from shared.compute.setup import open_compute_service
from shared.config.settings import Settings
from shared.errors import BadMessageError, PermanentError, TransientError
from shared.ingest.kind import RunKind
from shared.ingest.leaf.service import LeafOutcome, LeafService
from shared.ingest.task import LEAF_PATH, path_of
from shared.isolation.compute import isolated
from shared.messages.cloud_events import PushedMessage, parse_push
from shared.messages.messages import TRACE_ATTRIBUTE
from shared.once import Once
from shared.tasks.open import open_queue
from shared.telemetry.log import configure, event, get_logger, never_succeeds
from shared.telemetry.trace import trace_of
from shared.telemetry.web_trace import trace_id
from shared.web.answers import acknowledged, json_response
from shared.web.body import read_body
from shared.web.dispatch import HostedApp
from shared.web.errors import answer_errors, error_response
from shared.web.health import answer_health

_TASK_NAME = "X-CloudTasks-TaskName"
_RETRY_COUNT = "X-CloudTasks-TaskRetryCount"
_MOST_DIGITS = 9
_LONGEST_PATH = 100
_logger = get_logger("compute")


class LeafHandler(Protocol):
    """Does the leaf tasks of an ingest."""

    def compute_block(self, body: bytes, attempt: int = 1) -> LeafOutcome:
        """Computes the chunks of a block; see `shared.ingest.LeafService`."""


def create_app(settings: Settings, messages: MessageHandler, leaves: LeafHandler) -> flask.Flask:
    """The routes of the compute function over its two handlers."""
    app = flask.Flask("compute")
    app.url_map.merge_slashes = False
    answer_errors(app, settings.retry_after_s)
    answer_health(app, lambda: {"messages": messages.counts()})

    def chunks() -> flask.Response:
        try:
            done = leaves.compute_block(read_body(flask.request, settings.max_body_bytes), _attempt())
        except PermanentError as error:
            never_succeeds(_logger, "chunk task", error)
            return acknowledged()
        except TransientError as error:
            reason, kind = str(error), type(error).__name__
            fields = {"reason": reason, "error": kind, "attempt": _attempt()}
            event(_logger, logging.WARNING, "chunk task is to be delivered again", **fields)
            return error_response(error, settings.retry_after_s)
        return json_response(asdict(done))

    for kind in RunKind:
        app.add_url_rule(path_of(LEAF_PATH, kind), f"{kind.value} chunks", chunks, methods=["POST"])

    @app.post("/")
    @app.post("/<path:path>")
    def message(path: str = "") -> flask.Response:
        headers = dict(flask.request.headers.items())
        try:
            if _TASK_NAME in flask.request.headers:
                raise BadMessageError("a task of the queue is no delivery of the bus")
            delivered = parse_push(headers, read_body(flask.request, settings.max_body_bytes))
        except PermanentError as error:
            if path:
                fields = {"path": path[:_LONGEST_PATH], "reason": str(error)}
                event(_logger, logging.WARNING, "there is nothing at this path", **fields)
                flask.abort(404)
            messages.reject(error)
            return acknowledged()
        if messages.handle(delivered, _trace(delivered)) is Verdict.RETRY:
            # the handler has logged why
            return error_response(TransientError("the message is to be delivered again"), settings.retry_after_s)
        return acknowledged()

    return app


def create_handlers(settings: Settings) -> tuple[MessageHandler, LeafHandler]:
    """The handlers that the settings describe."""
    service = open_compute_service(settings)
    leaves = LeafService(
        datasets=service.datasets,
        computer=service,
        store=service.store,
        queue=open_queue(settings.queue),
        budget_s=settings.leaf_budget_s,
        isolation=partial(isolated, settings.leaf_budget_s),
    )
    return MessageHandler(service, _dead_letters(settings), partial(isolated, settings.budget_s)), leaves


def _dead_letters(settings: Settings) -> DeadLetterBox | None:
    if not settings.dead_letters:
        return None
    return DeadLetterBox(open_dead_letters(settings.dead_letters), settings.delivery_attempts)


def _trace(message: PushedMessage) -> str | None:
    """The trace that the message was published in, a look-up's for a miss; else the delivery's own."""
    return trace_of(message.attributes.get(TRACE_ATTRIBUTE, "")) or trace_id(flask.request.headers)


def _attempt() -> int:
    """How often the queue has sent this task, from 1."""
    count = flask.request.headers.get(_RETRY_COUNT, "0")
    return 1 + (int(count) if count.isdecimal() and len(count) <= _MOST_DIGITS else 0)


_SETTINGS = Settings.from_environment(os.environ)
configure(_SETTINGS.log_level, _SETTINGS.project)
_answer = HostedApp(Once(lambda: create_app(_SETTINGS, *create_handlers(_SETTINGS))), _SETTINGS.body_timeout_s)
_answer.replace_framework()


@functions_framework.http
def compute(request: flask.Request) -> flask.Response:
    """The function's entry point."""
    return _answer(request)
