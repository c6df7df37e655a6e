"""The route of the look-up API that answers what whole neurons add up to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import flask

from shared.attributes import AttributeTable
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.deadline import prolong, uncounted, within
from shared.lookup.auth import Authorizer
from shared.lookup.caller import caller_of_request
from shared.lookup.limiter import CallerLimiter
from shared.lookup.service import LookupService
from shared.once import Once
from shared.store.totals import TotalsMemory
from shared.telemetry.log import StepTimer
from shared.web.answers import json_response
from shared.web.body import read_body

if TYPE_CHECKING:
    from shared.lookup.neurons import Answered, NeuronService

_NODES_IN_TIME = 10_000
_ROOTS_IN_TIME = 100
_GRAPH_S = 20.0
"""How much longer than a look-up this may take: a graph server needs seconds for the nodes of a large neuron."""


def add_totals_route(
    app: flask.Flask,
    path: str,
    service: Callable[[], LookupService],
    memory: Callable[[], TotalsMemory] | None,
    datasets: Datasets,
    authorize: Authorizer,
    limiter: CallerLimiter,
    settings: Settings,
    attributes: AttributeTable,
) -> None:
    """Has an app answer `POST` at a path.

    Args:
      app: of the look-up; its requests have `flask.g.steps` and `flask.g.fields`.
      path: with `<dataset>` in it.
      service: gives what finds rows, the same each time.
      memory: gives what all instances remember, the same each time; None for nothing.
      datasets: the datasets it may be asked about.
      authorize: asked before the body is read.
      limiter: counts requests, roots, and the L2 nodes that are looked up for them.
      settings: limits.
      attributes: those of the rows.
    """

    def open_neurons() -> NeuronService:
        from shared.lookup.neurons import NeuronService

        lookup = service()
        recalled = None if memory is None else memory()
        return NeuronService(lookup, lookup.graphs, recalled, settings.max_total_nodes, attributes)

    neurons = Once(open_neurons)

    @within(settings.answer_s + _GRAPH_S)
    def total(dataset: str) -> flask.Response:
        from shared.lookup.totals_answer import encode_totals
        from shared.lookup.totals_query import parse_totals_query
        from shared.lookup.wait_preference import wait_preference

        steps: StepTimer = flask.g.steps
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
                body = read_body(flask.request, settings.max_body_bytes)
            parameters = flask.request.args.to_dict(flat=False)
            parameters.pop(settings.token_name, None)
            preference = wait_preference(parameters, flask.request.headers.getlist("Prefer"))
            query = parse_totals_query(body, parameters, preference.seconds)
            flask.g.ignored = query.ignored

        def admit(nodes: int) -> None:
            limiter.take_ids(caller, nodes)
            prolong(settings.answer_s * max(0.0, nodes / _NODES_IN_TIME - 1))

        with steps.step("quota"):
            limiter.take_ids(caller, len(query.root_ids))
        prolong(settings.answer_s * max(0.0, len(query.root_ids) / _ROOTS_IN_TIME - 1) + query.wait_s)
        with uncounted():
            opened = neurons()
        answer = opened.totals(known, query, steps, caller, admit)
        flask.g.fields.update(_fields(answer))
        with steps.step("encode"):
            return json_response(encode_totals(answer.totals, int64_as_str=query.int64_as_str))

    app.add_url_rule(path, "totals", total, methods=["POST"])


def _fields(answer: Answered) -> dict[str, int]:
    """What a request's record tells of its answer."""
    found = answer.found
    fields = {
        "roots": len(answer.totals.root_ids) + len(answer.totals.errors),
        "errors": len(answer.totals.errors),
        "remembered": answer.remembered,
    }
    if found is None:
        return fields
    published = {"published": found.publication.published, "unpublished": found.publication.unpublished}
    return {**fields, "ids": len(found.l2_ids), **published, "withheld": found.publication.withheld}
