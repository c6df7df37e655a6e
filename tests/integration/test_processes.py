"""The supervisor of the local stack keeps its children running, on a full disk as well."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.processes import ChildSpec, Supervisor
from tests.support.stack.small_disk import full, small_disk

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
# A child that says its process's number, and ends as soon as a file is there, which it takes away.
PROGRAM = """
import os, pathlib, sys, time
folder = pathlib.Path(__file__).parent
print("started")
with (folder / "started").open("a") as file:
    file.write(f"{os.getpid()}\\n")
while not (folder / "end").exists():
    time.sleep(0.01)
(folder / "end").unlink()
"""


class Child:
    """A child that can be told to end.

    Args:
      folder: for what it and the test tell each other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "told_to_end.py").write_text(PROGRAM)
        self.spec = ChildSpec("child", ("told_to_end",), {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"})

    def starts(self) -> int:
        file = self._folder / "started"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def end(self) -> None:
        (self._folder / "end").touch()
        wait_until(lambda: not (self._folder / "end").exists(), "the child to end")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.01)


@contextmanager
def supervised(child: Child, logs: Path) -> Iterator[None]:
    supervisor = Supervisor(logs)
    supervisor.start([child.spec])
    try:
        wait_until(lambda: child.starts() == 1, "the first start")
        yield
    finally:
        supervisor.stop()


@pytest.fixture
def child(tmp_path: Path) -> Child:
    (tmp_path / "child").mkdir()
    return Child(tmp_path / "child")


def test_a_child_whose_log_cannot_be_opened_is_started_as_soon_as_it_can(
    child: Child, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs, away = tmp_path / "logs", tmp_path / "away"
    with supervised(child, logs):
        logs.rename(away)
        child.end()
        wait_until(lambda: "child ended and cannot be started yet" in capsys.readouterr().err, "a start in vain")
        away.rename(logs)
        wait_until(lambda: child.starts() == 2, "the second start")
        child.end()
        wait_until(lambda: child.starts() == 3, "the third start")


def test_on_a_full_disk_children_are_started_again(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 1) as disk, (disk / "stderr").open("w", buffering=1) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with supervised(child, disk / "logs"), full(disk):
            for start in (2, 3):
                child.end()
                wait_until(lambda n=start: child.starts() == n, "a start on a full disk")  # type: ignore[misc]
