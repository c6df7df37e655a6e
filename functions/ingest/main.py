"""The ingest function, for operators and for the queue's expand tasks.

POST /plan /start /retry /cancel      a JSON object, see `shared.ingest.Operations`
GET, POST /status /failed /runs       the same as parameters of the query or as a JSON object
POST /                                {"operation": "start", ...}: what `gcloud functions call` can send
POST /expand                          a task of the queue
GET  /healthz
"""

from __future__ import annotations

import logging
import os
from typing import Any

import flask
import functions_framework
import orjson

from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.errors import BadRequestError, PermanentError
from shared.geometry.grid import GraphGeometry
from shared.graph.registry import Graphs
from shared.ingest.control.operations import Operations
from shared.ingest.control.service import IngestService
from shared.ingest.task import EXPAND_PATH
from shared.once import Once
from shared.store.open import open_store
from shared.tasks.open import addresses_of, open_queue
from shared.telemetry.log import configure, event, get_logger
from shared.web.answers import enable_gzip, json_response
from shared.web.body import read_body
from shared.web.dispatch import HostedApp
from shared.web.errors import answer_errors

READING = ("status", "failed", "runs")
_logger = get_logger("ingest")


def create_app(settings: Settings, service: IngestService) -> flask.Flask:
    """The routes of the ingest function over a service."""
    app = flask.Flask("ingest")
    app.url_map.merge_slashes = False
    answer_errors(app, settings.retry_after_s)
    enable_gzip(app)
    operations = Operations(service)

    @app.get("/healthz")
    def healthz() -> flask.Response:
        return json_response({"status": "ok"})

    @app.post(EXPAND_PATH)
    def expand() -> flask.Response:
        try:
            new_tasks = service.expand(read_body(flask.request, settings.max_body_bytes))
        except PermanentError as error:
            # Delivering it again would not help.
            reason, kind = str(error), type(error).__name__
            event(_logger, logging.ERROR, "expand task can never succeed", reason=reason, error=kind)
            return flask.Response(status=204)
        return json_response({"new_tasks": new_tasks})

    @app.post("/")
    def call() -> flask.Response:
        document = _json_object(read_body(flask.request, settings.max_body_bytes))
        operation = document.pop("operation", None)
        if not isinstance(operation, str):
            raise BadRequestError(f"operation must be one of {', '.join(operations.names())}")
        return json_response(operations.run(operation, document))

    def operation(name: str) -> flask.Response:
        if flask.request.method == "POST":
            document = _json_object(read_body(flask.request, settings.max_body_bytes))
        else:
            document = flask.request.args.to_dict()
        return json_response(operations.run(name, document))

    for name in operations.names():
        methods = ["GET", "POST"] if name in READING else ["POST"]
        app.add_url_rule(f"/{name}", name, operation, methods=methods, defaults={"name": name})
    return app


def create_service(settings: Settings) -> IngestService:
    """The service that the settings describe."""
    graphs = Graphs(settings)

    def geometry(dataset: Dataset) -> GraphGeometry:
        return graphs.get(dataset).geometry()

    return IngestService(
        datasets=Datasets.from_file(settings.datasets_file),
        geometry=geometry,
        store=open_store(settings.store),
        queue=open_queue(settings.queue),
        leaf_chunks=settings.leaf_chunks,
        n_queues=len(addresses_of(settings.queue)),
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequestError("the body must be a JSON object")
    return document


_SETTINGS = Settings.from_environment(os.environ)
configure(_SETTINGS.log_level, _SETTINGS.project)
_answer = HostedApp(Once(lambda: create_app(_SETTINGS, create_service(_SETTINGS))), _SETTINGS.body_timeout_s)
_answer.replace_framework_pages()


@functions_framework.http
def ingest(request: flask.Request) -> flask.Response:
    """The function's entry point."""
    return _answer(request)
