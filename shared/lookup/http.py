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
from shared.deadline import prolong, uncounted, within
from shared.errors import TooLargeError
from shared.lookup.auth import Authorizer
from shared.lookup.caller import caller_of_request
from shared.lookup.found import WITHOUT_A_ROW, Found, IdState
from shared.lookup.limiter import RATE_LIMIT_HEADERS, CallerLimiter, answer_rate_limits
from shared.lookup.metadata import full_metadata, type_names
from shared.lookup.parameters import FULL, IGNORED_HEADER, METADATA_OPTIONS, ignored_header, ignored_names
from shared.lookup.paths import INDEX_PATHS, description_paths, prefixed
from shared.lookup.query import parse_query, read_boolean
from shared.lookup.quota import SharedCounters
from shared.lookup.service import LookupService
from shared.lookup.sizes import read_ids_body
from shared.lookup.totals_route import add_totals_route
from shared.lookup.user_limits import UserLimits
from shared.store.quota import QuotaCounters
from shared.store.totals import TotalsMemory
from shared.telemetry.log import StepTimer, event, get_logger
from shared.telemetry.web_trace import trace_id
from shared.web.answers import MOST_ANSWER_BYTES, enable_gzip, json_response, packed, set_readable_header
from shared.web.description import answer_description, link_to_description
from shared.web.errors import answer_errors
from shared.web.health import HEALTH_ENDPOINT, answer_health

ServiceSource: TypeAlias = Callable[[], LookupService]

_IDS_IN_TIME = 10_000
_PREFLIGHT_AGE_S = 3600
_FITTING_SHARE = 0.9  # of the ids that fit on average: some nodes have more to say than others

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
    CORS(app, expose_headers=["WWW-Authenticate", "Retry-After", *RATE_LIMIT_HEADERS], max_age=_PREFLIGHT_AGE_S)
    _add_open_routes(app, datasets, settings, attributes)
    answer_description(app, description_paths(settings), lambda: _description(settings, attributes))
    _add_attributes_route(app, service, datasets, authorize, limiter, settings, attributes)
    totals_path = prefixed(settings, "/api/v1/table/<dataset>/totals")
    add_totals_route(app, totals_path, service, memory, datasets, authorize, limiter, settings, attributes)
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
        return link_to_description(flask.Response(TITLE, mimetype="text/plain"), description_paths(settings)[0])

    for path in INDEX_PATHS:
        app.add_url_rule(prefixed(settings, path), "index", index)
    app.add_url_rule(prefixed(settings, "/api/v1/attribute_metadata"), "attribute_metadata", attribute_metadata)
    app.add_url_rule(prefixed(settings, "/api/v1/table_mapping"), "table_mapping", table_mapping)
    answer_health(app, lambda: {"version": TITLE})


def _add_attributes_route(
    app: flask.Flask,
    service: ServiceSource,
    datasets: Datasets,
    authorize: Authorizer,
    limiter: CallerLimiter,
    settings: Settings,
    attributes: AttributeTable,
) -> None:
    @within(settings.answer_s)
    def look_up(dataset: str) -> flask.Response:
        steps: StepTimer = flask.g.steps
        # The datasets are no secret (`table_mapping` is open), so that an unknown one needs no token to be refused.
        known = datasets.named(dataset)
        flask.g.fields["dataset"] = known.graph_id
        if dataset != known.graph_id:
            flask.g.fields["alias"] = dataset
        with steps.step("authorize"):
            refusal = authorize(dataset)
        if refusal is not None:
            return refusal
        caller = caller_of_request()
        with steps.step("quota"):
            limiter.take_request(caller)
        with steps.step("parse"):
            with uncounted():
                body = read_ids_body(flask.request, settings)
            parameters = flask.request.args.to_dict(flat=False)
            parameters.pop(settings.token_name, None)
            query = parse_query(body, flask.request.mimetype, parameters, settings.max_ids, attributes)
        flask.g.ignored = query.ignored
        with steps.step("quota"):
            limiter.take_ids(caller, len(query.l2_ids))
        prolong(settings.answer_s * max(0.0, len(query.l2_ids) / _IDS_IN_TIME - 1))
        with uncounted():
            opened = service()
        answer = opened.look_up(known, query, steps, caller)
        flask.g.fields.update(_fields(answer.found))
        response = packed(json_response(answer.json))
        _require_sendable(response, len(answer.found.l2_ids))
        return response

    path = prefixed(settings, "/api/v1/table/<dataset>/attributes")
    app.add_url_rule(path, "attributes", look_up, methods=["POST"])


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
    fitting = int(_FITTING_SHARE * ids * MOST_ANSWER_BYTES / n_bytes)
    advice = "" if "Content-Encoding" in response.headers else ", accept gzip (Accept-Encoding: gzip)"
    raise TooLargeError(
        f"the answer has {n_bytes} bytes, at most {MOST_ANSWER_BYTES} can be sent: ask for at most "
        f"{fitting} ids at a time{advice} or name fewer attributes",
        fitting,
    )


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
