"""The routes of the look-up API, as a Flask app."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import flask
from flask_cors import CORS

from shared.attributes import ATTRIBUTES, SIZE, AttributeTable
from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.config.version import TITLE
from shared.errors import TooLargeError
from shared.lookup.auth import Authorizer
from shared.lookup.caller import RateLimiter, caller_of_request
from shared.lookup.found import WITHOUT_A_ROW, Found, IdState
from shared.lookup.query import Query, parse_query
from shared.lookup.service import LookupService
from shared.lookup.status import EXPOSED_HEADERS, state_headers, status_document
from shared.lookup.wait_preference import WaitPreference, wait_preference
from shared.telemetry.log import StepTimer, event, get_logger
from shared.telemetry.web_trace import trace_id
from shared.web.answers import MOST_ANSWER_BYTES, enable_gzip, json_response, packed
from shared.web.body import read_body
from shared.web.errors import answer_errors
from shared.web.health import HEALTH_ENDPOINT, answer_health

ServiceSource: TypeAlias = Callable[[], LookupService]

_PREFLIGHT_AGE_S = 3600
_FITTING_SHARE = 0.9  # of the ids that fit on average: some nodes have more to say than others

_logger = get_logger("lookup")


def create_app(
    service: ServiceSource,
    datasets: Datasets,
    authorize: Authorizer,
    settings: Settings,
    attributes: AttributeTable = ATTRIBUTES,
) -> flask.Flask:
    """The app that answers the look-up API.

    Args:
      service: gives what is behind it, the same each time; asked at the first look-up, not before.
      datasets: the datasets it may be asked about.
      authorize: asked before each look-up, before the body is read.
      settings: limits, the paths' prefix, the namespace at the authentication service.
      attributes: what can be asked for.
    """
    app = flask.Flask("lookup", static_folder=None)
    app.config["AUTH_SERVICE_NAMESPACE"] = settings.auth_service_namespace
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    answer_errors(app, settings.retry_after_s)
    # Flask runs these in reverse: the CORS headers, packing, then the record of it all.
    _record_requests(app)
    enable_gzip(app)
    CORS(app, expose_headers=["WWW-Authenticate", *EXPOSED_HEADERS], max_age=_PREFLIGHT_AGE_S)
    _add_open_routes(app, datasets, settings, attributes)
    _add_table_routes(app, service, datasets, authorize, settings, attributes)
    return app


def _prefixed(settings: Settings, path: str) -> str:
    return f"/{settings.url_prefix}{path}" if settings.url_prefix else path


def _add_open_routes(app: flask.Flask, datasets: Datasets, settings: Settings, attributes: AttributeTable) -> None:
    """What needs no token: name and version, the attributes, the datasets, and whether the function is alive."""
    types = {attribute.name: attribute.type_name for attribute in attributes}
    mapping = {d.graph_id: {"cv_path": d.cv_path, "l2cache_id": d.l2cache_id} for d in datasets.by_graph_id.values()}

    def index() -> flask.Response:
        return flask.Response(TITLE, mimetype="text/plain")

    for path in ("/", "/index", "/api/v1/", "/api/v1/index"):
        app.add_url_rule(_prefixed(settings, path), "index", index)
    for name, value in (("attribute_metadata", types), ("table_mapping", mapping)):
        path = _prefixed(settings, f"/api/v1/{name}")
        app.add_url_rule(path, name, lambda value=value: json_response(value))
    answer_health(app, lambda: {"version": TITLE})


@dataclass(frozen=True)
class _Request:
    """A look-up that may be answered."""

    dataset: Dataset
    query: Query
    preference: WaitPreference
    caller: str


def _add_table_routes(
    app: flask.Flask,
    service: ServiceSource,
    datasets: Datasets,
    authorize: Authorizer,
    settings: Settings,
    attributes: AttributeTable,
) -> None:
    limiter = RateLimiter(settings.requests_per_minute)

    def admit(dataset: str) -> _Request | flask.Response:
        """The request, or the answer that says why the caller may not look."""
        steps: StepTimer = flask.g.steps
        # The datasets are no secret (`table_mapping` is open), so that an unknown one needs no token to be refused.
        known = datasets.get(dataset)
        flask.g.fields["dataset"] = known.graph_id
        with steps.step("authorize"):
            refusal = authorize(known.graph_id)
        if refusal is not None:
            return refusal
        caller = caller_of_request()
        limiter.take(caller)
        with steps.step("parse"):
            parameters = flask.request.args.to_dict(flat=False)
            preference = wait_preference(parameters, flask.request.headers.getlist("Prefer"))
            body = read_body(flask.request, settings.max_body_bytes)
            query = parse_query(body, flask.request.mimetype, parameters, settings.max_ids, attributes)
            return _Request(known, replace(query, wait_s=preference.seconds), preference, caller)

    def look_up(dataset: str) -> flask.Response:
        request = admit(dataset)
        if isinstance(request, flask.Response):
            return request
        answer = service().look_up(request.dataset, request.query, flask.g.steps, request.caller)
        flask.g.fields.update(_fields(answer.found))
        response = packed(json_response(answer.json))
        _require_sendable(response, len(answer.found.l2_ids))
        response.headers.extend(state_headers(answer.found, request.preference))
        return response

    def status(dataset: str) -> flask.Response:
        request = admit(dataset)
        if isinstance(request, flask.Response):
            return request
        query = request.query
        # Asking how ids stand changes nothing, unless the request says so or waits.
        publish = query.publish_misses if "update_cache" in flask.request.args else query.wait_s > 0
        found = service().find(
            request.dataset,
            query.l2_ids,
            (SIZE,),
            flask.g.steps,
            request.caller,
            publish=publish,
            wait_s=query.wait_s,
            strict=True,
        )
        flask.g.fields.update(_fields(found))
        with flask.g.steps.step("encode"):
            lists_rows = flask.request.args.get("all", "").strip().lower() in ("true", "1")
            response = json_response(status_document(found, lists_rows=lists_rows))
        response.headers.extend(state_headers(found, request.preference))
        return response

    for name, view in (("attributes", look_up), ("status", status)):
        path = _prefixed(settings, f"/api/v1/table/<dataset>/{name}")
        app.add_url_rule(path, name, view, methods=["POST"])


def _fields(found: Found) -> dict[str, int]:
    """What a request's record tells of what was found."""
    return {
        "ids": len(found.l2_ids),
        "impossible": found.count(IdState.IMPOSSIBLE),
        "hits": len(found.cells.l2_ids),
        "misses": found.count(*WITHOUT_A_ROW),
        "pending": found.count(IdState.PENDING),
        "failed": found.count(IdState.FAILED),
        "unknown": found.count(IdState.UNKNOWN),
        "published": found.publication.published,
        "unpublished": found.publication.unpublished,
        "withheld": found.publication.withheld,
    }


def _require_sendable(response: flask.Response, ids: int) -> None:
    """Refuses an answer that the platform would not send, and says how many ids would fit into one.

    Raises:
      TooLargeError: if it is too large.
    """
    n_bytes = len(response.get_data())
    if n_bytes <= MOST_ANSWER_BYTES:
        return
    advice = "" if "Content-Encoding" in response.headers else ", accept gzip (Accept-Encoding: gzip)"
    raise TooLargeError(
        f"the answer has {n_bytes} bytes, at most {MOST_ANSWER_BYTES} can be sent: ask for at most "
        f"{int(_FITTING_SHARE * ids * MOST_ANSWER_BYTES / n_bytes)} ids at a time{advice} or name fewer attributes"
    )


def _record_requests(app: flask.Flask) -> None:
    """One log record per request. Neither headers nor the query string are in it, where tokens are."""

    def start() -> None:
        flask.g.started_s = time.perf_counter()
        flask.g.steps = StepTimer()
        flask.g.fields = {}

    def record(response: flask.Response) -> flask.Response:
        request = flask.request
        elapsed_ms = (time.perf_counter() - flask.g.started_s) * 1000
        event(
            _logger,
            logging.DEBUG if request.endpoint == HEALTH_ENDPOINT else logging.INFO,
            "request",
            route=request.endpoint,
            method=request.method,
            status=response.status_code,
            trace=trace_id(request.headers),
            bytes=response.content_length,
            total_ms=round(elapsed_ms, 2),
            **flask.g.fields,
            **flask.g.steps.fields(),
        )
        return response

    app.before_request(start)
    app.after_request(record)
