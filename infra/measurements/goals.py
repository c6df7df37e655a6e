"""Goals of benchmarks: what each measured beside what it is to reach, shown by `make bench` in one table at its end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.measurements.record import FILE, Measurement, machine, read, write

VARIABLE = "L2CACHE_BENCH_GOALS"
"""Names the file that benchmarks write their outcomes to, a line of JSON each; `make bench` sets it."""
TABLE = "goals"


@dataclass(frozen=True)
class Outcome:
    """What came of a goal.

    Attributes:
      what: what is measured.
      measured: in `unit`.
      goal: what it is to be at most, or at least.
      unit: empty for a ratio.
      at_least: whether more is better.
    """

    what: str
    measured: float
    goal: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal

    def row(self, benchmark: str) -> dict[str, Any]:
        """Its row of the table of all goals."""
        return {
            "benchmark": benchmark,
            "what": self.what,
            "goal": f"{'at least' if self.at_least else 'at most'} {_with_unit(self.goal, self.unit)}",
            "measured": _with_unit(self.measured, self.unit),
            "ratio": self.measured / self.goal,
            "outcome": "met" if self.is_met else "missed",
        }


def at_most(what: str, measured: float, goal: float, unit: str = "") -> Outcome:
    """Tells what came of a goal that less is better for."""
    return _tell(Outcome(what, measured, goal, unit))


def at_least(what: str, measured: float, goal: float, unit: str = "") -> Outcome:
    """Tells what came of a goal that more is better for."""
    return _tell(Outcome(what, measured, goal, unit, at_least=True))


def told(file: Path) -> list[Outcome]:
    """What a benchmark that has ended told into a file; nothing if it told nothing."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def keep(rows: Sequence[Mapping[str, Any]], benchmarks: Sequence[str], file: Path = FILE) -> None:
    """Records rows of the table of goals in the place of those that the same benchmarks had."""
    recorded = read(file)
    others = [row for row in recorded[TABLE].rows if row["benchmark"] not in benchmarks] if TABLE in recorded else []
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    kept = sorted([*others, *({**row, "date": date} for row in rows)], key=lambda row: str(row["benchmark"]))
    write({**recorded, TABLE: Measurement(date, machine(), "", kept)}, file)


def _tell(outcome: Outcome) -> Outcome:
    row = outcome.row("")
    print(f"goal: {outcome.what}: {row['goal']}, measured {row['measured']}: {row['outcome']}", flush=True)
    if place := os.environ.get(VARIABLE):
        with Path(place).open("a") as lines:
            lines.write(json.dumps(asdict(outcome)) + "\n")
    return outcome


def _with_unit(value: float, unit: str) -> str:
    return f"{value:,.3g} {unit}".strip() if value < 1000 else f"{value:,.0f} {unit}".strip()
