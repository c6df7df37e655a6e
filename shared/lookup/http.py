"""The routes of the look-up API, as a Flask app."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import flask
from flask_cors import CORS

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.config.version import TITLE
from shared.lookup.admission import Admission
from shared.lookup.auth import Authorizer
from shared.lookup.l2_ids_route import add_l2_ids_route
from shared.lookup.limiter import RATE_LIMIT_HEADERS, CallerLimiter, answer_rate_limits
from shared.lookup.metadata import full_metadata, type_names
from shared.lookup.node_routes import NodeRoutes
from shared.lookup.page_routes import LookupPage
from shared.lookup.parameters import FULL, IGNORED_HEADER, METADATA_OPTIONS, ignored_header, ignored_names
from shared.lookup.paths import INDEX_PATHS, description_paths, prefixed
from shared.lookup.query import read_boolean
from shared.lookup.quota import SharedCounters
from shared.lookup.service import LookupService
from shared.lookup.status import EXPOSED_HEADERS
from shared.lookup.totals_route import add_totals_route, neurons_source
from shared.lookup.user_limits import UserLimits
from shared.store.quota import QuotaCounters
from shared.store.totals import TotalsMemory
from shared.telemetry.log import StepTimer, event, get_logger
from shared.telemetry.web_trace import trace_id
from shared.web.answers import enable_gzip, json_response, set_readable_header
from shared.web.description import answer_description, link_to_description
from shared.web.errors import answer_errors
from shared.web.health import HEALTH_ENDPOINT, answer_health

ServiceSource: TypeAlias = Callable[[], LookupService]

_PREFLIGHT_AGE_S = 3600

_logger = get_logger("lookup")


def create_app(
    service: ServiceSource,
    datasets: Datasets,
    authorize: Authorizer,
    settings: Settings,
    attributes: AttributeTable = ATTRIBUTES,
    counters: Callable[[], QuotaCounters] | None = None,
    memory: Callable[[], TotalsMemory] | None = None,
) -> flask.Flask:
    """The app that answers the look-up API.

    Args:
      service: gives what is behind it, the same each time; asked at the first look-up, not before.
      datasets: the datasets it may be asked about.
      authorize: asked before each look-up, before the body is read.
      settings: limits, the paths' prefix, the namespace at the authentication service.
      attributes: what can be asked for.
      counters: gives the counters that all instances share, the same each time; without them each counts for itself.
      memory: gives what all instances remember of whole neurons, the same each time; without it nothing is remembered.

    Raises:
      ConfigurationError: naming the setting of limits that is wrong.
    """
    limiter = CallerLimiter(UserLimits.from_settings(settings), SharedCounters(counters))
    app = flask.Flask("lookup", static_folder=None)
    app.config["AUTH_SERVICE_NAMESPACE"] = settings.auth_service_namespace
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    answer_errors(app, settings.retry_after_s)
    # Flask runs these in reverse: the CORS headers, ours beside them, packing, then the record of it all.
    _record_requests(app)
    enable_gzip(app)
    app.after_request(_name_ignored)
    answer_rate_limits(app)
    exposed = ["WWW-Authenticate", "Retry-After", *RATE_LIMIT_HEADERS, *EXPOSED_HEADERS]
    CORS(app, expose_headers=exposed, max_age=_PREFLIGHT_AGE_S)
    _add_open_routes(app, datasets, settings, attributes)
    answer_description(app, description_paths(settings), lambda: _description(settings, attributes))
    admission = Admission(datasets, authorize, limiter, settings)
    NodeRoutes(service, admission, settings, attributes).add_to(app)
    neurons = neurons_source(service, memory, settings, attributes)
    add_totals_route(app, neurons, admission, settings)
    add_l2_ids_route(app, neurons, admission, settings)
    return app


def _description(settings: Settings, attributes: AttributeTable) -> dict[str, Any]:
    from shared.lookup.description import describe_lookup  # hardly ever asked for: no load at a cold start

    return describe_lookup(settings, attributes)


def _add_open_routes(app: flask.Flask, datasets: Datasets, settings: Settings, attributes: AttributeTable) -> None:
    """What needs no token: name and version, the attributes, the datasets, and whether the function is alive."""
    answers = {"types": type_names(attributes), "full": full_metadata(attributes), "mapping": datasets.mapping()}

    def attribute_metadata() -> flask.Response:
        parameters = flask.request.args.to_dict(flat=False)
        full = read_boolean(parameters.get(FULL.name), default=False)
        flask.g.ignored = ignored_names(parameters, METADATA_OPTIONS, (settings.token_name,))
        return json_response(answers["full" if full else "types"])

    def table_mapping() -> flask.Response:
        flask.g.ignored = ignored_names(flask.request.args, (), (settings.token_name,))
        return json_response(answers["mapping"])

    def index() -> flask.Response:
        response = page.or_else(lambda: flask.Response(TITLE, mimetype="text/plain"))
        return link_to_description(response, description_paths(settings)[0])

    page = LookupPage(settings)
    page.add_to(app)
    for path in INDEX_PATHS:
        app.add_url_rule(prefixed(settings, path), "index", index)
    app.add_url_rule(prefixed(settings, "/api/v1/attribute_metadata"), "attribute_metadata", attribute_metadata)
    app.add_url_rule(prefixed(settings, "/api/v1/table_mapping"), "table_mapping", table_mapping)
    answer_health(app, lambda: {"version": TITLE})


def _name_ignored(response: flask.Response) -> flask.Response:
    """Tells the client which of its parameters and keys mean nothing."""
    names = flask.g.get("ignored", ())
    if names:
        set_readable_header(response, IGNORED_HEADER, ignored_header(names))
    return response


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
