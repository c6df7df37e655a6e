"""Running the benchmarks, and recording what they measure for the documentation."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from math import prod
from pathlib import Path

import pytest

from infra.measurements.goals import Outcome, keep
from infra.measurements.layouts import LAYOUTS
from infra.measurements.page import PAGE, places, with_tables
from infra.measurements.record import OPTION, Measurement, measuring, read, write
from shared.ingest.control.rates import default_rates
from tests.bench.__main__ import main

GOALS = {
    "first": "from infra.measurements.goals import at_most\nat_most('time of one id', 12.5, 10, 'ms')\n",
    "second": "from infra.measurements.goals import at_least\nat_least('times as fast', 4.5, 4)\n",
}
"""What the pretended benchmarks tell of their goals: one that is missed, and one that is met."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    folder = tmp_path / "pretended" / "bench"
    folder.mkdir(parents=True)
    for name, status in (("first", 3), ("second", 0), ("third", 0)):
        text = f"import pathlib, sys\npathlib.Path({str(tmp_path)!r}, '{name}').write_text(' '.join(sys.argv[1:]))\n"
        text += GOALS.get(name, "") + f"sys.exit({status})\n"
        (folder / f"bench_{name}.py").write_text(text)
    return folder


def ran(folder: Path) -> set[str]:
    return {name for name in ("first", "second", "third") if (folder.parents[1] / name).exists()}


def test_one_that_fails_does_not_keep_the_others_from_running(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([], folder) == 1
    assert ran(folder) == {"first", "second", "third"}
    assert "failed: first" in capfd.readouterr().err


def test_those_that_are_chosen_run(folder: Path) -> None:
    assert main(["third", "second"], folder) == 0
    assert ran(folder) == {"second", "third"}


def test_all_are_told_to_record(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "performance.json"
    write({}, kept)
    assert main(["second", "third", "--record"], folder, kept) == 0
    assert [(row["benchmark"], row["outcome"]) for row in read(kept)["goals"].rows] == [("second", "met")]
    assert [(tmp_path / name).read_text() for name in ("second", "third")] == ["--record"] * 2
    assert main(["second"], folder) == 0
    assert (tmp_path / "second").read_text() == ""


ROW = {"store": "SQLite file", "chunks": 12_000, "marks": 7, "status_s": 0.25, "map_s": 0.5, "read_s": None}
LINE = "| SQLite file | 12,000 | 7 | 0.25 s | 0.50 s |  |"


def recorded(file: Path, *, record: bool) -> dict[str, Measurement]:
    with measuring("ingest_status", record=record, file=file) as table:
        table.add(**ROW)
    return read(file)


def test_a_table_is_printed_while_it_is_measured_and_kept_if_it_is_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--rounds", "2", OPTION])
    file = tmp_path / "performance.json"
    other = Measurement("2026-11-22", "a machine", "", [{"step": "import", "seconds": 0.5}])
    write({"features_start": other}, file)
    assert recorded(file, record=False) == {"features_start": other}
    kept = recorded(file, record=True)
    assert kept["features_start"] == other
    assert (kept["ingest_status"].rows, kept["ingest_status"].arguments) == ([ROW], "--rounds 2")
    assert kept["ingest_status"].date == f"{datetime.now(UTC):%Y-%m-%d}"
    assert capsys.readouterr().out.splitlines()[-1] == LINE


def test_what_fails_half_way_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "performance.json"
    write({}, file)
    with pytest.raises(KeyError, match="seconds"), measuring("features_start", record=True, file=file) as table:
        table.add(step="import")
    assert read(file) == {}


def test_a_page_has_the_tables_in_its_places_and_its_own_text() -> None:
    page = "before\n<!-- measured: ingest_status -->\nold\n<!-- end of measured -->\nafter\n"
    measured = Measurement("2026-11-25", "two cores", "--rounds 2", [ROW])
    made = with_tables(page, {"ingest_status": measured})
    caption = "`make bench ARGS=ingest_status` with `--rounds 2`, 2026-11-25, two cores:"
    assert made.startswith("before\n")
    assert made.endswith("\nafter\n")
    assert [line for line in made.splitlines() if line in (caption, LINE, "old")] == [caption, LINE]
    assert with_tables(made, {"ingest_status": measured}) == made
    assert "Nothing is recorded" in with_tables(made, {})


def test_the_documentation_has_a_table_of_everything_that_is_recorded() -> None:
    page, measured = PAGE.read_text(), read()
    assert len(measured) > 5
    assert sorted(places(page)) == sorted(LAYOUTS)
    assert measured.keys() <= LAYOUTS.keys()
    assert with_tables(page, measured) == page


def test_an_unknown_one_is_named_before_anything_runs(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["second", "fourth"], folder) == 2
    assert ran(folder) == set()
    assert "'fourth'" in capfd.readouterr().err


def test_a_table_at_the_end_shows_all_goals(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["first", "second", "third"], folder) == 1
    told = capfd.readouterr()
    heads, *lines = told.out.split("=== third")[1].strip().splitlines()
    assert heads.split() == ["benchmark", "what", "goal", "measured", "of", "the", "goal", "outcome"]
    assert [re.split(r" {2,}", line) for line in lines] == [
        ["`first`", "time of one id", "at most 10 ms", "12.5 ms", "1.25", "missed"],
        ["`second`", "times as fast", "at least 4", "4.5", "1.12", "met"],
    ]
    assert told.err.splitlines()[-2:] == ["failed: first (status 3)", "missed: 1 of 2 goals"]


def test_a_missed_goal_is_no_success(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    second = folder / "bench_second.py"
    assert main(["second"], folder) == 0
    second.write_text(second.read_text().replace("4.5", "3.5"))
    assert main(["second"], folder) == 1
    assert "missed: 1 of 1 goals" in capfd.readouterr().err


def test_help_says_what_there_is_and_runs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = folder / "bench_first.py"
    first.write_text(f'"""What a first thing costs: `python -m bench_first`.\n\nMore of it.\n"""\n{first.read_text()}')
    assert main(["--help"], folder) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  first +What a first thing costs$", shown, re.M)
    assert "second" in shown
    assert "More of it" not in shown
    assert ran(folder) == set()


def test_one_alone_can_be_given_options_of_its_own(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "performance.json"
    write({}, kept)
    assert main(["third", "--rounds=9", OPTION], folder, kept) == 0
    assert (tmp_path / "third").read_text() == f"--rounds=9 {OPTION}"
    assert main(["third", "--help"], folder) == 0
    assert (tmp_path / "third").read_text() == "--help"
    assert main(["second", "third", "--rounds=9"], folder) == 2
    assert "--rounds=9" in capfd.readouterr().err


def test_recorded_goals_take_the_place_of_those_of_the_same_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "performance.json"
    write({}, file)
    fast, slow = Outcome("time", 1, 2, "s"), Outcome("time", 3, 2, "s")
    keep([slow.row("lookup"), fast.row("audit")], ["lookup", "audit"], file)
    keep([fast.row("lookup")], ["lookup"], file)
    rows = read(file)["goals"].rows
    assert [(row["benchmark"], row["measured"], row["outcome"]) for row in rows] == [
        ("audit", "1 s", "met"),
        ("lookup", "1 s", "met"),
    ]
    page = with_tables("<!-- measured: goals -->\n<!-- end of measured -->\n", read(file))
    assert "| `lookup` | time | at most 2 s | 1 s | 0.50 | met |" in page


def test_plans_rest_on_what_was_measured() -> None:
    measured = {row["chunk"]: row for row in read()["ingest_rates"].rows}
    for chunk in ("128x128x128", "256x256x512"):
        planned_s = default_rates(prod(map(int, chunk.split("x")))).core_s_per_chunk
        assert planned_s == pytest.approx(measured[chunk]["seconds"], rel=0.1)
