"""Recording what a benchmark measures: its rows are printed as they come, and kept in `docs/performance.json`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.measurements.layouts import LAYOUTS, Layout

FILE = Path(__file__).resolve().parents[2] / "docs" / "performance.json"
OPTION = "--record"
_DIGITS = 5


@dataclass(frozen=True)
class Measurement:
    """A table that was measured.

    Attributes:
      date: when, `2026-11-25`.
      machine: on what.
      arguments: of the command, where it was given some.
      rows: the values, by the names that the table's layout has.
    """

    date: str
    machine: str
    arguments: str
    rows: Sequence[Mapping[str, Any]]


class Table:
    """A table while it is measured."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.rows: list[dict[str, Any]] = []

    def add(self, **row: Any) -> None:
        """Takes and prints a row; None stands for what was not measured.

        Raises:
          KeyError: if it lacks a value of the table.
        """
        line = self._layout.line(row)
        if not self.rows:
            print(f"\n{self._layout.head()}")
        print(line, flush=True)
        self.rows.append({name: _short(value) for name, value in row.items()})


def record_option(parser: argparse.ArgumentParser) -> None:
    """Gives a benchmark the option to record."""
    parser.add_argument(OPTION, action="store_true", help=f"keep what is measured in docs/{FILE.name}")


@contextmanager
def measuring(name: str, *, record: bool, file: Path = FILE) -> Iterator[Table]:
    """A table to add rows to; they are kept when all are there, in the place of those that were measured before.

    Args:
      name: of the table's layout.
      record: whether they are kept.
      file: where.
    """
    table = Table(LAYOUTS[name])
    yield table
    if record:
        arguments = " ".join(word for word in sys.argv[1:] if word != OPTION)
        measured = Measurement(f"{datetime.now(UTC):%Y-%m-%d}", machine(), arguments, table.rows)
        write({**read(file), name: measured}, file)


def read(file: Path = FILE) -> dict[str, Measurement]:
    """What is recorded, by the names of the tables."""
    return {name: Measurement(**one) for name, one in json.loads(file.read_text()).items()}


def write(measured: Mapping[str, Measurement], file: Path = FILE) -> None:
    """Records measurements in the place of all that were; a row is a line, in the order of the layouts."""
    parts = []
    for name in LAYOUTS:
        if name in measured:
            head = {key: value for key, value in asdict(measured[name]).items() if key != "rows"}
            lines = ",\n".join(f"   {json.dumps(row, ensure_ascii=False)}" for row in measured[name].rows)
            parts.append(f' "{name}": {json.dumps(head)[:-1]},\n  "rows": [\n{lines}\n  ]}}')
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def _short(value: Any) -> Any:
    """A float without digits that say nothing."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def machine() -> str:
    """What is measured on, and how busy it is."""
    return f"{os.cpu_count()} cores ({platform.machine()}), load average {os.getloadavg()[0]:.1f}"
