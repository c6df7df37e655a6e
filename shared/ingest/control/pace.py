"""How fast a run was over time, from the times that its marks carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.ingest.progress import Piece, RunState
from shared.ingest.run import Run

MOST_STEPS = 500

_SHORTEST_S = 0.001
_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pace:
    """Chunks per second over a generation of a run.

    Attributes:
      run: the run, in its present generation.
      generation: which one this is about.
      start_s: when it began, Unix time.
      step_s: length of a step.
      chunks_per_s: float64[n], in each step, failed chunks included. What a leaf task has done is taken as done evenly
        while it was at work.
    """

    run: Run
    generation: int
    start_s: float
    step_s: float
    chunks_per_s: _Floats


def pace_of(
    run: Run,
    pieces: Mapping[str, Sequence[Piece]],
    state: RunState,
    now_s: float,
    generation: int | None,
    steps: int,
) -> Pace:
    """The pace of a generation of a run, up to now if it is going on, else to its last chunk.

    Args:
      run: the run.
      pieces: what is done of it, by the names of its leaf blocks.
      state: of the run.
      now_s: the present moment, Unix time.
      generation: which one; the present one if None.
      steps: into how many the time is cut.
    """
    asked = run.generation if generation is None else generation
    done = [piece for block in pieces.values() for piece in block if piece.generation == asked]
    counts, begun_s, finished_s = (
        np.array(values, dtype=np.float64)
        for values in (
            [piece.stop - piece.first for piece in done],
            [piece.finished_s - piece.busy_s for piece in done],
            [piece.finished_s for piece in done],
        )
    )
    start_s = run.begun_s if asked == run.generation else float(min(begun_s, default=run.started_s))
    is_going_on = state is RunState.RUNNING and asked == run.generation
    stop_s = now_s if is_going_on else float(max(finished_s, default=start_s))
    step_s = max(stop_s - start_s, _SHORTEST_S) / steps
    edges_s = step_s * np.arange(steps + 1, dtype=np.float64)
    before = _before(edges_s, counts, begun_s - start_s, finished_s - start_s)
    return Pace(run, asked, start_s, step_s, np.diff(before) / step_s)


def _before(edges_s: _Floats, counts: _Floats, begun_s: _Floats, finished_s: _Floats) -> _Floats:
    """How much was done before each of some moments, if it was done evenly between two moments.

    What ends by then counts whole: what would have been done since the beginning, less what would have since the end.
    """
    per_s = counts / np.maximum(finished_s - begun_s, _SHORTEST_S)
    return _since(edges_s, per_s, begun_s) - _since(edges_s, per_s, np.maximum(finished_s, begun_s + _SHORTEST_S))


def _since(edges_s: _Floats, per_s: _Floats, moments_s: _Floats) -> _Floats:
    """What would be done before each edge, if each thing went on at its own pace from its moment on."""
    order = np.argsort(moments_s)
    at_once = np.concatenate(([0.0], np.cumsum(per_s[order])))
    early = np.concatenate(([0.0], np.cumsum((per_s * moments_s)[order])))
    n_begun = np.searchsorted(moments_s[order], edges_s)
    return edges_s * at_once[n_begun] - early[n_begun]
