"""The ingest function, for operators and for the queue's expand tasks.

POST /<operation>       a JSON object, see `shared.ingest.control.operations`
GET  /<operation>       of those that change nothing: the same as parameters of the query
POST /                  {"operation": "start", ...}: what `gcloud functions call` can send
GET  /                  to browsers a page, whose files are at /assets/
GET  /operations        all operations and their fields, for whoever builds a client
GET  /openapi.json      the same and more, in OpenAPI 3.1
POST /expand            a task of the queue; /expand/<kind> for a run that is no ingest
GET  /health
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import flask
import functions_framework
from werkzeug.exceptions import MethodNotAllowed

from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.documents.json_object import decode_object
from shared.errors import BadRequestError, PermanentError
from shared.files.open import Folders
from shared.geometry.grid import GraphGeometry
from shared.graph.registration import GraphRegistrar
from shared.graph.registry import Graphs
from shared.ingest.control import page as built_page
from shared.ingest.control.operation import Operation
from shared.ingest.control.operations import OPERATIONS, Operations, describe
from shared.ingest.control.service import IngestService
from shared.ingest.kind import RunKind
from shared.ingest.task import EXPAND_PATH, path_of
from shared.once import Once
from shared.store.open import open_store
from shared.tasks.open import addresses_of, open_queue
from shared.telemetry.log import configure, get_logger, never_succeeds
from shared.web.answers import acknowledged, enable_gzip, json_response
from shared.web.body import read_body
from shared.web.description import OPENAPI_PATH, answer_description, link_to_description
from shared.web.dispatch import HostedApp
from shared.web.errors import answer_errors
from shared.web.foreign import refuse_foreign_pages
from shared.web.health import answer_health
from shared.web.page import Page, wants_page

PAGE_ENDPOINT = "page"

_logger = get_logger("ingest")


def create_app(settings: Settings, service: IngestService, known: tuple[Operation, ...] = OPERATIONS) -> flask.Flask:
    """The routes of the ingest function over a service and the operations on it."""
    app = flask.Flask("ingest", static_folder=None)
    app.url_map.merge_slashes = False
    answer_errors(app, settings.retry_after_s)
    refuse_foreign_pages(app)
    enable_gzip(app)
    answer_health(app, dict)

    @app.get("/operations")
    def operations() -> flask.Response:
        return json_response(describe(known))

    def expand() -> flask.Response:
        try:
            new_tasks = service.expand(read_body(flask.request, settings.max_body_bytes))
        except PermanentError as error:
            never_succeeds(_logger, "expand task", error)
            return acknowledged()
        return json_response({"new_tasks": new_tasks})

    for kind in RunKind:
        endpoint = EXPAND_PATH.strip("/") if kind is RunKind.INGEST else f"{kind.value} expand"
        app.add_url_rule(path_of(EXPAND_PATH, kind), endpoint, expand, methods=["POST"])

    _add_operations(app, settings, Operations(service, known=known))
    _add_page(app)
    _describe(app, known)
    return app


def _describe(app: flask.Flask, known: tuple[Operation, ...]) -> None:
    """Answers the description, and says where it is at the start page and to whoever asks for what there is not."""

    def description() -> dict[str, Any]:
        from shared.ingest.control.description import describe_ingest  # hardly ever asked for

        return describe_ingest(known)

    def link(response: flask.Response) -> flask.Response:
        rule = flask.request.url_rule
        is_other = rule is not None and rule.endpoint != PAGE_ENDPOINT
        return response if is_other else link_to_description(response, OPENAPI_PATH)

    answer_description(app, (OPENAPI_PATH,), description)
    app.after_request(link)


def _add_page(app: flask.Flask) -> None:
    """Shows browsers the page; to others there is nothing to be read at `/`."""
    page = Page(Path(built_page.__path__[0]))
    page.add_assets(app, "")

    @app.get("/", endpoint=PAGE_ENDPOINT)
    def start_page() -> flask.Response:
        if not wants_page(flask.request):
            raise MethodNotAllowed(["OPTIONS", "POST"])
        response = page.response()
        response.vary.add("Accept")
        return response


def _add_operations(app: flask.Flask, settings: Settings, operations: Operations) -> None:
    """Adds a route for each operation, and the one at `/` for all of them."""

    def body() -> dict[str, Any]:
        return decode_object(read_body(flask.request, settings.max_body_bytes), "the body")

    @app.post("/")
    def call() -> flask.Response:
        document = body()
        name = document.pop("operation", None)
        if not isinstance(name, str):
            raise BadRequestError(f"operation must be one of {', '.join(operations.names())}")
        return json_response(operations.run(name, document))

    def do(operation: Operation) -> flask.Response:
        posted = flask.request.method == "POST"
        document = body() if posted else operation.from_query(flask.request.args.to_dict())
        return json_response(operations.run(operation.name, document))

    for operation in operations.known:
        # Flask refuses a name that one of its other routes has.
        app.add_url_rule(
            f"/{operation.name}", operation.name, do, methods=operation.methods, defaults={"operation": operation}
        )


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
        register=GraphRegistrar(settings),
        folders=Folders.below(settings.exports),
        rows_per_file=settings.rows_per_file,
    )


_SETTINGS = Settings.from_environment(os.environ)
configure(_SETTINGS.log_level, _SETTINGS.project)
_answer = HostedApp(Once(lambda: create_app(_SETTINGS, create_service(_SETTINGS))), _SETTINGS.body_timeout_s)
_answer.replace_framework()


@functions_framework.http
def ingest(request: flask.Request) -> flask.Response:
    """The function's entry point."""
    return _answer(request)
