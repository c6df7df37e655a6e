"""Running the benchmarks, and recording what they measure for the documentation."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.measurements.layouts import LAYOUTS
from infra.measurements.page import PAGE, places, with_tables
from infra.measurements.record import OPTION, Measurement, measuring, read, write
from tests.bench.__main__ import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pretended" / "bench"
    folder.mkdir(parents=True)
    for name, status in (("first", 3), ("second", 0), ("third", 0)):
        text = f"import pathlib, sys\npathlib.Path({str(tmp_path)!r}, '{name}').write_text(' '.join(sys.argv[1:]))\n"
        text += f"sys.exit({status})\n"
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
    assert main(["second", "third", "--record"], folder) == 0
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
