"""The ingest function, for operators and for the queue's expand tasks.

POST /start    {"dataset": ..., "timestamp": ..., "bounding_box": ..., "unit": ..., "test": ...}
GET  /status   ?dataset=...[&run=...]
GET  /failed   ?dataset=...[&run=...]
GET  /runs     ?dataset=...
POST /expand   a task of the queue
GET  /healthz
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import flask
import functions_framework
import orjson

from shared.datasets import Dataset, Datasets
from shared.errors import BadRequestError
from shared.geometry import GraphGeometry
from shared.graph import Graphs
from shared.ingest import IngestService, RunStatus, StartRequest
from shared.ingest.run import TIMESTAMP_FORMAT, Run
from shared.ingest.task import EXPAND_PATH
from shared.log import configure
from shared.once import Once
from shared.settings import Settings
from shared.store import open_store
from shared.tasks import open_queue
from shared.web import answer_errors, json_response, pack_answers, read_body, serve


def create_app(settings: Settings, service: IngestService) -> flask.Flask:
    """The routes of the ingest function over a service."""
    app = flask.Flask("ingest")
    answer_errors(app, settings.retry_after_s)
    pack_answers(app)

    @app.get("/healthz")
    def healthz() -> flask.Response:
        return json_response({"status": "ok"})

    @app.post("/start")
    def start() -> flask.Response:
        document = _json(read_body(flask.request, settings.max_body_bytes))
        request = StartRequest.from_document(document, datetime.now(UTC))
        return json_response(_status(service.start(request)))

    @app.get("/status")
    def status() -> flask.Response:
        return json_response(_status(service.status(*_run_of_query())))

    @app.get("/failed")
    def failed() -> flask.Response:
        return json_response({"failed": service.failed(*_run_of_query())})

    @app.get("/runs")
    def runs() -> flask.Response:
        dataset, _ = _run_of_query()
        return json_response({"runs": [_run(run) for run in service.runs(dataset)]})

    @app.post(EXPAND_PATH)
    def expand() -> flask.Response:
        return json_response({"new_tasks": service.expand(read_body(flask.request, settings.max_body_bytes))})

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
    )


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error


def _run_of_query() -> tuple[str, str | None]:
    dataset = flask.request.args.get("dataset")
    if not dataset:
        raise BadRequestError("the parameter dataset is missing")
    return dataset, flask.request.args.get("run")


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "dataset": run.graph_id,
        "table": run.table_id,
        "timestamp": run.timestamp.strftime(TIMESTAMP_FORMAT),
        "chunks": {"start": run.block.start, "stop": run.block.stop},
        "started": datetime.fromtimestamp(run.started_s, UTC).strftime(TIMESTAMP_FORMAT),
    }


def _status(status: RunStatus) -> dict[str, Any]:
    return {
        **_run(status.run),
        "total_chunks": status.total_chunks,
        "completed_chunks": status.completed_chunks,
        "failed_chunks": status.failed_chunks,
        "rows": status.nodes,
        "chunks_per_s": round(status.chunks_per_s, 3),
        "finished": status.finished,
    }


_SETTINGS = Settings.from_environment(os.environ)
configure(_SETTINGS.log_level)
_app = Once(lambda: create_app(_SETTINGS, create_service(_SETTINGS)))


@functions_framework.http
def ingest(request: flask.Request) -> flask.Response:
    """The function's entry point."""
    return serve(_app(), request)
