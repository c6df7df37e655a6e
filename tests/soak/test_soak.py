"""A short soak run and a short fuzz, as `python -m tests.soak` has them; see this folder's README for long ones.

Each is a process of its own: the fuzz limits memory and listens to everything that the interpreter does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEED = "37"  # one whose short round has all four faults
WITHIN_S = 600


def output_of(*arguments: str) -> str:
    """What a run that must end well prints."""
    command = [sys.executable, "-m", "tests.soak", "--seed", SEED, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_everything_comes_right_after_kills_a_full_disk_and_locked_files() -> None:
    faults = ("kill", "full-disk", "locked-file", "repetitions")
    only = [argument for name in faults for argument in ("--only", name)]
    printed = output_of("--on", "embedded", "--minutes", "0.1", "--round-s", "10", *only)
    assert "came right" in printed
    assert "processes killed" in printed
    assert "an ingest is finished" in printed
    assert "exports finished" in printed
    assert "audits finished" in printed


def test_no_malformed_request_or_message_is_answered_with_an_unjustified_5xx() -> None:
    printed = output_of("--fuzz", "--requests", "1000", "--messages", "1000")
    assert "no failures" in printed
