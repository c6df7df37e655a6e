"""The route of the look-up API that answers which L2 nodes whole neurons consist of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import flask
import orjson

from shared.config.settings import Settings
from shared.deadline import prolong, uncounted, within
from shared.lookup.admission import Admission
from shared.lookup.paths import prefixed
from shared.lookup.totals_route import GRAPH_S, ROOTS_IN_TIME
from shared.types import UInt64Array
from shared.web.answers import json_response

if TYPE_CHECKING:
    from shared.lookup.neurons import NeuronService


def add_l2_ids_route(
    app: flask.Flask, neurons: Callable[[], NeuronService], admission: Admission, settings: Settings
) -> None:
    """Has an app answer it.

    Args:
      app: of the look-up; its requests have `flask.g.steps` and `flask.g.fields`.
      neurons: gives what knows the nodes of roots, the same each time.
      admission: lets requests in; counts roots.
      settings: limits.
    """

    @within(settings.answer_s + GRAPH_S)
    def l2_ids(dataset: str) -> flask.Response:
        from shared.lookup.totals_query import L2_IDS_OPTIONS, parse_totals_query

        admitted = admission.admit(dataset)
        if isinstance(admitted, flask.Response):
            return admitted
        with flask.g.steps.step("parse"):
            query = parse_totals_query(admission.read_body(), admission.parameters(), options=L2_IDS_OPTIONS)
        flask.g.ignored = query.ignored
        roots = len(query.root_ids)
        admission.count_ids(admitted, roots)
        prolong(settings.answer_s * max(0.0, roots / ROOTS_IN_TIME - 1))
        with uncounted():
            opened = neurons()
        nodes, errors = opened.l2_ids(admitted.dataset, query, flask.g.steps)
        flask.g.fields.update(roots=roots, errors=len(errors), ids=sum(map(len, nodes.values())))
        with flask.g.steps.step("encode"):
            return json_response(encode_l2_ids(nodes, errors, int64_as_str=query.int64_as_str))

    path = prefixed(settings, "/api/v1/table/<dataset>/l2_ids")
    app.add_url_rule(path, "l2_ids", l2_ids, methods=["POST"])


def encode_l2_ids(nodes: Mapping[int, UInt64Array], errors: Mapping[int, str], *, int64_as_str: bool = False) -> bytes:
    """The JSON object of roots' L2 ids: per root an object, ascending.

    Args:
      nodes: by root uint64[n], ascending.
      errors: of the other roots: why there are none.
      int64_as_str: whether ids are written as text.
    """
    answers: dict[int, dict[str, object]] = {root: {"l2_ids": None, "error": why} for root, why in errors.items()}
    for root, ids in nodes.items():
        listed = ids.tolist()
        answers[root] = {"l2_ids": [*map(str, listed)] if int64_as_str else listed, "error": None}
    return orjson.dumps({str(root): answers[root] for root in sorted(answers)})
