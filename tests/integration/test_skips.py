"""Tests that miss something are skipped, but not in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest
from tests.support.skips import NotPermitted

@pytest.mark.skipif(True, reason="terraform is not installed")
def test_by_mark(): pass

@pytest.fixture
def emulator(): pytest.skip("no emulator")

def test_by_fixture(emulator): pass

def test_by_import(): pytest.importorskip("no_such_library")

def test_by_permission(): raise NotPermitted("may not mount")

@pytest.mark.xfail(reason="known")
def test_expected_to_fail(): assert False

def test_that_runs(): pass
"""


def run(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text("from tests.support.skips import pytest_runtest_makereport\n")
    (folder / "test_missing.py").write_text(TESTS)
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", str(folder)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def test_what_is_missing_skips_tests(tmp_path: Path) -> None:
    ended = run(tmp_path, "")
    assert ended.returncode == 0
    assert "1 passed, 4 skipped, 1 xfailed" in ended.stdout


def test_in_ci_what_is_missing_fails_tests_and_is_named(tmp_path: Path) -> None:
    ended = run(tmp_path, "true")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 passed, 1 skipped, 1 xfailed" in ended.stdout
    for missing in ("terraform is not installed", "no emulator", "no_such_library"):
        assert missing in ended.stdout
