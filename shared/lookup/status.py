"""How ids stand, as clients read it: an answer of its own, and headers of other answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from shared.lookup.found import STATE_NAMES, Found, IdState
from shared.lookup.wait_preference import WaitPreference
from shared.store.protocol import NodeState

STATE_HEADERS = {
    f"X-L2Cache-{state.name.title()}": state
    for state in (IdState.MISSING, IdState.PENDING, IdState.FAILED, IdState.UNKNOWN, IdState.IMPOSSIBLE)
}
"""The headers that tell how many ids of an answer have no row, and why."""

WAITED_HEADER = "X-L2Cache-Waited"
"""The header that tells of a request that waited for how many seconds."""

EXPOSED_HEADERS = (*STATE_HEADERS, WAITED_HEADER, "Preference-Applied")
_OF_ROWS = (IdState.CACHED, IdState.EMPTY)


def status_document(found: Found, *, lists_rows: bool) -> dict[str, Any]:
    """The counts of all states, and the ids in each, as text.

    Args:
      found: how they stand.
      lists_rows: whether ids that have a row are listed too.
    """
    listed: dict[str, list[Any]] = {}
    for state in IdState:
        if lists_rows or state not in _OF_ROWS:
            listed[STATE_NAMES[state]] = [str(l2_id) for l2_id in found.ids(state).tolist()]
    failed, unknown = STATE_NAMES[IdState.FAILED], STATE_NAMES[IdState.UNKNOWN]
    listed[failed] = [_failure(l2_id, found.details[int(l2_id)]) for l2_id in listed[failed]]
    since = {l2_id: _moment(found.details[int(l2_id)]) for l2_id in listed[unknown]}
    return {"counts": found.counts(), "ids": listed, "since": {unknown: since}}


def state_headers(found: Found, preference: WaitPreference) -> Iterable[tuple[str, str]]:
    """What an answer's headers tell: how many ids have no row, and whether they were waited for."""
    for name, state in STATE_HEADERS.items():
        yield name, str(found.numbers[state])
    if found.waited_s is not None:
        yield WAITED_HEADER, f"{found.waited_s:.3f}"
        if preference.applied:
            yield "Preference-Applied", preference.applied


def _failure(l2_id: str, state: NodeState) -> dict[str, str]:
    return {"id": l2_id, "reason": state.reason, "since": _moment(state)}


def _moment(state: NodeState) -> str:
    """When a state began: ISO 8601, UTC, milliseconds."""
    moment = datetime.fromtimestamp(state.since_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
