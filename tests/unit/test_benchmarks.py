"""Running the benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.__main__ import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pretended" / "bench"
    folder.mkdir(parents=True)
    for name, status in (("first", 3), ("second", 0), ("third", 0)):
        text = f"import pathlib, sys\npathlib.Path({str(tmp_path)!r}, '{name}').touch()\nsys.exit({status})\n"
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


def test_an_unknown_one_is_named_before_anything_runs(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["second", "fourth"], folder) == 2
    assert ran(folder) == set()
    assert "'fourth'" in capfd.readouterr().err
