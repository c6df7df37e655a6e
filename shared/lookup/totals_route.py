"""The route of the look-up API that answers what whole neurons add up to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import flask

from shared.attributes import AttributeTable
from shared.config.settings import Settings
from shared.deadline import prolong, uncounted, within
from shared.lookup.admission import Admission
from shared.lookup.paths import prefixed
from shared.lookup.service import LookupService
from shared.lookup.status import state_headers
from shared.lookup.table.negotiation import Form, answer_form
from shared.lookup.table.response import table_response
from shared.lookup.wait_preference import wait_preference
from shared.once import Once
from shared.store.totals import TotalsMemory
from shared.web.answers import json_response

if TYPE_CHECKING:
    from shared.lookup.neurons import Answered, NeuronService
    from shared.lookup.totals_answer import Totals

ROOTS_IN_TIME = 100
"""So many roots an answer has no more time for than for one."""
GRAPH_S = 20.0
"""How much longer than a look-up this may take: a graph server needs seconds for the nodes of a large neuron."""


def neurons_source(
    service: Callable[[], LookupService],
    memory: Callable[[], TotalsMemory] | None,
    settings: Settings,
    attributes: AttributeTable,
) -> Callable[[], NeuronService]:
    """What gives the service of whole neurons, the same each time, made and loaded when it is first asked for.

    Args:
      service: gives what finds rows, the same each time.
      memory: gives what all instances remember, the same each time; None for nothing.
      settings: limits.
      attributes: those of the rows.
    """

    def open_neurons() -> NeuronService:
        from shared.lookup.neurons import NeuronService

        lookup = service()
        recalled = None if memory is None else memory()
        return NeuronService(lookup, lookup.graphs, recalled, settings.max_total_nodes, attributes)

    return Once(open_neurons)


def add_totals_route(
    app: flask.Flask,
    neurons: Callable[[], NeuronService],
    admission: Admission,
    settings: Settings,
) -> None:
    """Has an app answer it.

    Args:
      app: of the look-up; its requests have `flask.g.steps` and `flask.g.fields`.
      neurons: gives what sums up, the same each time.
      admission: lets requests in; counts roots, and the L2 nodes that are looked up for them.
      settings: limits.
    """

    @within(settings.answer_s + GRAPH_S)
    def total(dataset: str) -> flask.Response:
        from shared.lookup.totals_query import parse_totals_query

        form = answer_form(flask.request.args.to_dict(flat=False), flask.request.headers.get("Accept", ""))
        admitted = admission.admit(dataset)
        if isinstance(admitted, flask.Response):
            return admitted
        steps = flask.g.steps
        with steps.step("parse"):
            parameters = admission.parameters()
            preference = wait_preference(parameters, flask.request.headers.getlist("Prefer"))
            query = parse_totals_query(admission.read_body(), parameters, preference.seconds)
        flask.g.ignored = query.ignored
        roots = len(query.root_ids)
        admission.count_ids(admitted, roots)
        prolong(settings.answer_s * max(0.0, roots / ROOTS_IN_TIME - 1) + query.wait_s)
        with uncounted():
            opened = neurons()
        count = partial(admission.count_ids, admitted)
        answer = opened.totals(admitted.dataset, query, steps, admitted.caller, count)
        flask.g.fields.update(_fields(answer))
        with steps.step("encode"):
            response = _response(answer.totals, form, int64_as_str=query.int64_as_str)
        response.headers.extend(state_headers(answer.found, preference))
        return response

    path = prefixed(settings, "/api/v1/table/<dataset>/totals")
    app.add_url_rule(path, "totals", total, methods=["POST"])


def _response(totals: Totals, form: Form, *, int64_as_str: bool) -> flask.Response:
    """Totals in the form that the request asks for."""
    if form is Form.JSON:
        from shared.lookup.totals_answer import encode_totals

        response = json_response(encode_totals(totals, int64_as_str=int64_as_str))
    else:
        from shared.lookup.table.roots import root_columns

        response = table_response(root_columns(totals), form)
    response.vary.add("Accept")
    return response


def _fields(answer: Answered) -> dict[str, int]:
    """What a request's record tells of its answer."""
    published = answer.found.publication
    return {
        "roots": len(answer.totals.root_ids) + len(answer.totals.errors),
        "errors": len(answer.totals.errors),
        "remembered": answer.remembered,
        "ids": len(answer.found.l2_ids),
        "published": published.published,
        "unpublished": published.unpublished,
        "withheld": published.withheld,
    }
