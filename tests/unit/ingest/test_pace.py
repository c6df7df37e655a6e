"""How fast runs were, as their marks tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.geometry.grid import Box
from shared.ingest.control.pace import Pace, pace_of
from shared.ingest.progress import Piece, RunState
from shared.ingest.run import Run

START_S = 1_800_000_000.0
RUN = Run("graph", "table", datetime(2026, 6, 1, tzinfo=UTC), Box((0, 0, 0), (40, 1, 1)), 10, START_S)


def piece(first: int, stop: int, from_s: float, to_s: float, generation: int = 0) -> Piece:
    return Piece(first, stop, 1, to_s - from_s, START_S + to_s, generation)


def pace(pieces: list[Piece], state: RunState, steps: int, generation: int | None = None, run: Run = RUN) -> Pace:
    return pace_of(run, {"block": pieces}, state, START_S + 100.0, generation, steps)


def test_chunks_are_spread_over_the_time_that_they_took() -> None:
    found = pace([piece(0, 10, 0, 10), piece(10, 30, 10, 20)], RunState.FINISHED, 4)
    assert (found.start_s, found.step_s) == (START_S, 5.0)
    assert found.chunks_per_s.tolist() == pytest.approx([1.0, 1.0, 2.0, 2.0])


def test_a_run_that_is_going_on_is_shown_up_to_now() -> None:
    found = pace([piece(0, 10, 0, 25)], RunState.RUNNING, 4)
    assert found.step_s == 25.0
    assert found.chunks_per_s.tolist() == pytest.approx([0.4, 0.0, 0.0, 0.0])


def test_each_generation_has_its_own_time() -> None:
    again = replace(RUN, generation=1, resumed_s=START_S + 50.0)
    pieces = [piece(0, 10, 0, 10), piece(3, 4, 52, 54, generation=1)]
    assert pace(pieces, RunState.FINISHED, 2, run=again).chunks_per_s.tolist() == pytest.approx([0.0, 0.5])
    first = pace(pieces, RunState.RUNNING, 2, generation=0, run=again)
    assert (first.generation, first.step_s, first.chunks_per_s.tolist()) == (0, 5.0, [1.0, 1.0])


def test_nothing_done_is_no_pace() -> None:
    assert pace([], RunState.CANCELLED, 3).chunks_per_s.tolist() == [0.0] * 3
