"""The routes of the look-up API that tell of L2 ids: their attributes, and how they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import flask

from shared.attributes import SIZE, AttributeTable
from shared.config.settings import Settings
from shared.deadline import prolong, uncounted, within
from shared.errors import TooLargeError
from shared.lookup.admission import Admission, Admitted
from shared.lookup.found import WITHOUT_A_ROW, Found, IdState
from shared.lookup.parameters import ALL, ATTRIBUTES_OPTIONS, STATUS_OPTIONS, UPDATE_CACHE, Option
from shared.lookup.paths import prefixed
from shared.lookup.query import Query, parse_query, read_boolean
from shared.lookup.service import LookupService
from shared.lookup.status import state_headers, status_document
from shared.lookup.table.negotiation import Form, answer_form, smaller_way
from shared.lookup.table.response import look_up_table
from shared.lookup.wait_preference import WaitPreference, wait_preference
from shared.web.answers import MOST_ANSWER_BYTES, json_response, packed

_FITTING_SHARE = 0.9  # of the ids that fit on average: some nodes have more to say than others


@dataclass(frozen=True)
class _Request:
    """A request that was let in, and what it asks for."""

    admitted: Admitted
    query: Query
    preference: WaitPreference


class NodeRoutes:
    """Answers requests about L2 ids. May be used by many threads.

    Args:
      service: gives what looks them up, the same each time.
      admission: lets requests in.
      settings: limits.
      attributes: what can be asked for.
    """

    def __init__(
        self,
        service: Callable[[], LookupService],
        admission: Admission,
        settings: Settings,
        attributes: AttributeTable,
    ) -> None:
        self._service, self._admission = service, admission
        self._settings, self._attributes = settings, attributes

    def add_to(self, app: flask.Flask) -> None:
        """Has an app answer them; its requests have `flask.g.steps` and `flask.g.fields`."""
        in_time = within(self._settings.answer_s)
        for name, view in (("attributes", self._look_up), ("status", self._status)):
            path = prefixed(self._settings, f"/api/v1/table/<dataset>/{name}")
            app.add_url_rule(path, name, in_time(view), methods=["POST"])

    def _look_up(self, dataset: str) -> flask.Response:
        form = answer_form(flask.request.args.to_dict(flat=False), flask.request.headers.get("Accept", ""))
        request = self._read(dataset, ATTRIBUTES_OPTIONS)
        if isinstance(request, flask.Response):
            return request
        asked = request.admitted.dataset, request.query
        if form is Form.JSON:
            answer = self._opened().look_up(*asked, flask.g.steps, request.admitted.caller)
            found, response = answer.found, json_response(answer.json)
        else:
            found, response = look_up_table(self._opened(), *asked, form, flask.g.steps, request.admitted.caller)
        response.vary.add("Accept")
        return _finished(response, found, request.preference, form)

    def _status(self, dataset: str) -> flask.Response:
        request = self._read(dataset, STATUS_OPTIONS)
        if isinstance(request, flask.Response):
            return request
        query, parameters = request.query, flask.request.args.to_dict(flat=False)
        # Asking how ids stand changes nothing, unless the request says so or waits.
        publish = query.publish_misses if UPDATE_CACHE.name in parameters else query.wait_s > 0
        found = self._opened().find(
            request.admitted.dataset,
            query.l2_ids,
            (SIZE,),
            flask.g.steps,
            request.admitted.caller,
            publish=publish,
            wait_s=query.wait_s,
            strict=True,
        )
        with flask.g.steps.step("encode"):
            lists_rows = read_boolean(parameters.get(ALL.name), default=False)
            response = json_response(status_document(found, lists_rows=lists_rows))
        return _finished(response, found, request.preference, Form.JSON)

    def _read(self, dataset: str, options: Sequence[Option]) -> _Request | flask.Response:
        """The current request, or the answer that says why its sender may not look."""
        admitted = self._admission.admit(dataset)
        if isinstance(admitted, flask.Response):
            return admitted
        with flask.g.steps.step("parse"):
            parameters = self._admission.parameters()
            preference = wait_preference(parameters, flask.request.headers.getlist("Prefer"))
            body = self._admission.read_body()
            mimetype, max_ids = flask.request.mimetype, self._settings.max_ids
            query = parse_query(body, mimetype, parameters, max_ids, self._attributes, options)
        flask.g.ignored = query.ignored
        self._admission.count_ids(admitted, len(query.l2_ids))
        prolong(preference.seconds)
        return _Request(admitted, replace(query, wait_s=preference.seconds), preference)

    def _opened(self) -> LookupService:
        """The service; loading it at an instance's first request does not count."""
        with uncounted():
            return self._service()


def _fields(found: Found) -> dict[str, int]:
    """What a request's record tells of what was found."""
    of_state = found.numbers
    return {
        "ids": len(found.l2_ids),
        "impossible": of_state[IdState.IMPOSSIBLE],
        "hits": len(found.cells.l2_ids),
        "misses": sum(of_state[state] for state in WITHOUT_A_ROW),
        "pending": of_state[IdState.PENDING],
        "failed": of_state[IdState.FAILED],
        "unknown": of_state[IdState.UNKNOWN],
        "published": found.publication.published,
        "unpublished": found.publication.unpublished,
        "withheld": found.publication.withheld,
    }


def _finished(response: flask.Response, found: Found, preference: WaitPreference, form: Form) -> flask.Response:
    """An answer as it is sent: packed, no larger than the platform sends, with headers that tell how the ids stand."""
    flask.g.fields.update(_fields(found))
    _require_sendable(packed(response), len(found.l2_ids), form)
    response.headers.extend(state_headers(found, preference))
    return response


def _require_sendable(response: flask.Response, ids: int, form: Form) -> None:
    """Refuses an answer that the platform would not send, and says how many ids would fit into one.

    Raises:
      TooLargeError: if it is too large.
    """
    n_bytes = len(response.get_data())
    if n_bytes <= MOST_ANSWER_BYTES:
        return
    fitting = int(_FITTING_SHARE * ids * MOST_ANSWER_BYTES / n_bytes)
    smaller = smaller_way(form, flask.request.accept_encodings)
    advice = f", accept {smaller} (Accept-Encoding: {smaller})" if smaller else ""
    raise TooLargeError(
        f"the answer has {n_bytes} bytes, at most {MOST_ANSWER_BYTES} can be sent: ask for at most "
        f"{fitting} ids at a time{advice} or name fewer attributes",
        fitting,
    )
