"""States of ids that have no row: what is stored of them, and which of them still count.

They lie in a table of their own for all cache tables of an instance, so that whoever may write states need not be
allowed to write rows. What else the look-up may write lies in other column families of that table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shared.store.protocol import FAILED, PENDING, UNKNOWN, NodeState
from shared.types import UInt64Array

STATES_TABLE = "l2cache_states"
STATE_FAMILY = STATE_QUALIFIER = "state"

STATE_DAYS = 31
"""How long a state is kept at least; it may be forgotten after that."""

QUOTA_FAMILY = "quota"
QUOTA_HOURS = 1
"""How long what a caller has had of a minute is kept at least."""

TOTALS_FAMILY = "totals"

STATE_FAMILIES: dict[str, str | None] = {
    STATE_FAMILY: f"max_num_versions: 1 or max_age {{ seconds: {STATE_DAYS * 86_400} }}",
    QUOTA_FAMILY: f"max_num_versions: 1 or max_age {{ seconds: {QUOTA_HOURS * 3600} }}",
    TOTALS_FAMILY: f"max_num_versions: 1 or max_age {{ seconds: {STATE_DAYS * 86_400} }}",
}
"""The column families of the states' table and when their cells are dropped."""

UNKNOWN_FOR_S = 3600.0
"""How long an id that the graph does not know is not asked for again."""

FAILED_FOR_S = 600.0
"""How long an id that was given up is not asked for again."""

_KEY_DIGITS = 20


def state_key(table_id: str, l2_id: int) -> bytes:
    """Row key of an id's state: its cache table and the id in 20 decimal digits."""
    return f"{table_id}/{l2_id:0{_KEY_DIGITS}d}".encode()


def id_of_key(row_key: bytes) -> int:
    """The id in a state's row key."""
    return int(row_key[-_KEY_DIGITS:])


def state_cell(state: NodeState) -> tuple[int, bytes]:
    """A state as a cell: microseconds since 1970, in whole milliseconds, and the value."""
    return since_ms(state) * 1000, f"{state.name}\n{state.reason}".encode()


def state_of_cell(timestamp_us: int, value: bytes) -> NodeState:
    """The state in a cell, the inverse of `state_cell`."""
    name, _, reason = value.decode(errors="replace").partition("\n")
    return NodeState(name, timestamp_us // 1000 / 1000, reason)


def since_ms(state: NodeState) -> int:
    """Whole milliseconds since 1970 at which a state began."""
    return round(state.since_s * 1000)


def still_holds(state: NodeState, now_s: float, pending_s: float) -> bool:
    """Whether a state still says how an id without a row stands.

    Clocks differ a little, so that a moment just ahead of this one counts too; one far ahead does not, lest a clock
    that was set wrong keeps an id from being asked for.

    Args:
      state: as `CacheStore.read_states` gives it. A failure holds until the id is asked for again.
      now_s: Unix time.
      pending_s: how long an id counts as pending.
    """
    age_s = abs(now_s - state.since_s)
    return state.name == FAILED or age_s < {PENDING: pending_s, UNKNOWN: UNKNOWN_FOR_S}.get(state.name, 0.0)


def may_be_asked_for(state: NodeState, now_s: float, pause_s: float) -> bool:
    """Whether an id without a row and with that state is to be published when somebody asks for it.

    Args:
      state: as `CacheStore.read_states` gives it.
      now_s: Unix time.
      pause_s: how long a pending id is not published again.
    """
    quiet_s = {PENDING: pause_s, FAILED: FAILED_FOR_S, UNKNOWN: UNKNOWN_FOR_S}.get(state.name, 0.0)
    return abs(now_s - state.since_s) >= quiet_s


def remembered_unknown(states: Mapping[int, NodeState], now_s: float) -> UInt64Array:
    """The ids that the graph was found not to know less than `UNKNOWN_FOR_S` ago: uint64[n], ascending.

    Args:
      states: as `CacheStore.read_states` gives them.
      now_s: Unix time.
    """
    fresh = (
        l2_id for l2_id, state in states.items() if state.name == UNKNOWN and still_holds(state, now_s, pending_s=0.0)
    )
    return np.array(sorted(fresh), dtype=np.uint64)
