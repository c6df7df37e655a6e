"""Runs benchmarks one after the other, all if none is named, and shows at the end which goals they reached.

Each runs in a process of its own, and the others run even if it fails or misses a goal. The status is 1 if one did.
With one name, further options are that benchmark's: `make bench ARGS="lookup --rounds 9"`, `make bench ARGS="lookup
--help"`.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.measurements.goals import TABLE, VARIABLE, Outcome, keep, told
from infra.measurements.layouts import LAYOUTS
from infra.measurements.record import FILE, OPTION


@dataclass(frozen=True)
class Ran:
    """What came of a benchmark: the exit status of its process, and of its goals."""

    name: str
    status: int
    outcomes: list[Outcome]


def main(arguments: list[str], folder: Path = Path(__file__).parent, record: Path = FILE) -> int:
    """Runs benchmarks.

    Args:
      arguments: of the command; see `--help`.
      folder: holds the benchmarks, as files `bench_NAME.py`.
      record: where goals are kept if they are to be.

    Returns:
      The exit status: 0 if all succeeded and reached their goals, 1 if not, 2 if there is none of a name.
    """
    known = {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}
    parser = _parser(known)
    options, own = parser.parse_known_args(arguments)
    names = options.names or list(known)
    if unknown := [name for name in names if name not in known]:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if options.help and len(options.names) != 1:
        parser.print_help()
        return 0
    if own and len(options.names) != 1:
        print(f"{' '.join(own)}: only a single benchmark can be given options of its own", file=sys.stderr)
        return 2
    own += [OPTION] * options.record + ["--help"] * options.help
    ran = [_run(known[name], name, own) for name in names]
    if options.help:
        return ran[0].status
    _show(ran)
    if options.record:
        _keep(ran, record)
    return int(any(one.status or not all(outcome.is_met for outcome in one.outcomes) for one in ran))


def _parser(known: dict[str, Path]) -> argparse.ArgumentParser:
    width = max(map(len, known))
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...",
        description=__doc__,
        epilog="\n".join(["benchmarks:", *(f"  {name:{width}}  {_about(path)}" for name, path in known.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; all of them if left out")
    parser.add_argument(OPTION, action="store_true", help="keep what is measured in docs/performance.json")
    parser.add_argument("--help", "-h", action="store_true", help="show this, or the options of the one that is named")
    return parser


def _about(path: Path) -> str:
    """The first sentence of a benchmark's description, without loading it."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.split(": `", 1)[0].splitlines()[0] if text else ""


def _run(path: Path, name: str, options: list[str]) -> Ran:
    print(f"\n=== {name}", flush=True)
    module = f"{path.parents[1].name}.{path.parent.name}.{path.stem}"
    with tempfile.TemporaryDirectory() as place:
        goals = Path(place) / "goals"
        command = [sys.executable, "-m", module, *options]
        environment = os.environ | {VARIABLE: str(goals)}
        status = subprocess.run(command, cwd=path.parents[2], env=environment, check=False).returncode
        return Ran(name, status, told(goals))


def _show(ran: list[Ran]) -> None:
    """Prints the table of all goals, and which benchmarks failed."""
    columns = [column for column in LAYOUTS[TABLE].columns if column.head != "date"]
    lines = [
        [column.head for column in columns],
        *([column.cell(outcome.row(one.name)) for column in columns] for one in ran for outcome in one.outcomes),
    ]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    print()
    for line in lines if len(lines) > 1 else []:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    for text in _summary(ran):
        print(text, file=sys.stderr)


def _summary(ran: list[Ran]) -> Iterator[str]:
    if failed := [f"{one.name} (status {one.status})" for one in ran if one.status]:
        yield f"failed: {', '.join(failed)}"
    missed = sum(not outcome.is_met for one in ran for outcome in one.outcomes)
    if missed:
        yield f"missed: {missed} of {sum(len(one.outcomes) for one in ran)} goals"


def _keep(ran: list[Ran], record: Path) -> None:
    """Records the goals of the benchmarks that came to their ends."""
    ended = [one for one in ran if not one.status]
    keep([outcome.row(one.name) for one in ended for outcome in one.outcomes], [one.name for one in ended], record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
