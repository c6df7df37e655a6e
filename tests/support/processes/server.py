"""The functions in their real server process: functions-framework and gunicorn, as in the cloud, on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[3]
SOURCES = {name: ROOT / "functions" / name / "main.py" for name in ("lookup", "compute", "ingest")}
THREADS = 8
_START_S = 30.0
_OURS = ("L2CACHE", "AUTH", "REQUESTS", "TOKEN")


@contextmanager
def running(name: str, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Runs a function in a process group of its own until the block ends; yields the address.

    Args:
      name: the function.
      environment: its settings; none of the tests' own reach it.
      log: where its output goes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [sys.executable, "-m", "functions_framework", "--source", str(SOURCES[name]), "--target", name]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*program, "--host", "127.0.0.1", "--port", str(port)],
            env={**inherited, "PYTHONPATH": str(ROOT), "THREADS": str(THREADS), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            if requests.get(f"{url}/healthz", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    pytest.fail(f"the function did not start: {log.read_text()}")
