"""States of ids: how they are stored, and for how long an unknown id is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.store.protocol import NodeState
from shared.store.states import UNKNOWN_FOR_S, id_of_key, remembered_unknown, state_cell, state_key, state_of_cell

NOW_S = 1_800_000_000.0


@given(st.integers(0, 2**64 - 1), st.sampled_from(["a", "a.b-c_1", "1" * 20]))
def test_a_key_names_table_and_id(l2_id: int, table_id: str) -> None:
    key = state_key(table_id, l2_id)
    assert key == f"{table_id}/{l2_id:020d}".encode()
    assert id_of_key(key) == l2_id


@given(st.sampled_from(["unknown", "later"]), st.integers(0, 4_000_000_000_000), st.text())
def test_a_cell_holds_the_whole_state(name: str, since_ms: int, reason: str) -> None:
    state = NodeState(name, since_ms / 1000, reason)
    timestamp_us, value = state_cell(state)
    assert timestamp_us == since_ms * 1000
    assert state_of_cell(timestamp_us, value) == state


@pytest.mark.parametrize(
    ("name", "age_s", "remembered"),
    [
        ("unknown", 0.0, True),
        ("unknown", UNKNOWN_FOR_S - 1, True),
        ("unknown", UNKNOWN_FOR_S, False),
        ("unknown", 10 * UNKNOWN_FOR_S, False),
        ("unknown", -5.0, True),
        ("unknown", -86_400.0, False),
        ("failed", 0.0, False),
        ("", 0.0, False),
    ],
)
def test_an_unknown_id_is_remembered_for_an_hour_and_no_other_state_is(
    name: str, age_s: float, remembered: bool
) -> None:
    found = remembered_unknown({2**64 - 1: NodeState(name, NOW_S - age_s)}, NOW_S)
    assert found.tolist() == ([2**64 - 1] if remembered else [])


def test_of_many_states_the_ids_come_in_order() -> None:
    states = {l2_id: NodeState("unknown", NOW_S) for l2_id in (7, 3, 2**63, 5)}
    assert remembered_unknown(states, NOW_S).tolist() == [3, 5, 7, 2**63]
    assert remembered_unknown({}, NOW_S).tolist() == []
