"""The stack under test, as the soak run holds it: starting it, finding its processes, killing it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.soak.stack.child import PLACES_FILE, StackSpec
from tests.support.stack.ports import take_free_ports

READY_WITHIN_S = 120.0
_EMULATORS = {"bigtable": "cbtemulator", "pubsub": "cloud-pubsub-emulator", "tasks": "tasks_emulator.py"}


@dataclass(frozen=True)
class Process:
    """A process of the stack: its id, and its command line."""

    pid: int
    command: str

    @property
    def emulator(self) -> str | None:
        """Which emulator it is, or holds, if it is one."""
        return next((name for name, mark in _EMULATORS.items() if mark in self.command), None)

    @property
    def role(self) -> str:
        """What it is, for people."""
        if self.emulator:
            return f"the {self.emulator} emulator"
        for mark in (
            "shared.isolation",
            "--target compute",
            "--target ingest",
            "--target lookup",
            "infra.local.dispatch",
            "graph.server",
        ):
            if mark in self.command:
                return mark.removeprefix("--target ").removeprefix("infra.local.")
        return self.command[:60]


class StackDownError(Exception):
    """The stack does not start."""


class StackProcess:
    """The stack, while it runs.

    Args:
      spec: what it is like.
      log: gets what it prints.
    """

    def __init__(self, spec: StackSpec, log: Path) -> None:
        self.spec, self._log = spec, log
        self.lookup_url = ""
        self._process: subprocess.Popen[bytes] | None = None
        take_free_ports(Path(spec.state))

    def start(self) -> None:
        """Starts it, and returns when it is ready."""
        said = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.local.child", "tests.soak.stack.child", self.spec.to_json()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        end_s = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end_s and self._process.poll() is None:
            lines = self._log.read_bytes()[said:].decode(errors="replace").splitlines()
            ready = [line for line in lines if line.startswith("ready ")]
            if ready:
                self.lookup_url = ready[0].split()[1]
                return
            time.sleep(0.05)
        self.stop()
        raise StackDownError(f"the stack did not start: {self._log.read_text(errors='replace')[-3000:]}")

    @property
    def places(self) -> dict[str, Any]:
        """Where everything really is, see `child.told`."""
        found: dict[str, Any] = json.loads((Path(self.spec.datasets).parent / PLACES_FILE).read_text())
        return found

    @property
    def ingest_url(self) -> str:
        """Base address of the ingest function."""
        return str(self.places["ingest_url"])

    @property
    def compute_url(self) -> str:
        """Base address of the compute function."""
        return str(self.places["compute_url"])

    @property
    def edits_url(self) -> str:
        """Base address of the compute function's second service, which takes edits."""
        return str(self.places["edits_url"])

    @property
    def graph_url(self) -> str:
        """Base address of the real graph server."""
        return f"http://127.0.0.1:{self.spec.graph_port}"

    def processes(self) -> list[Process]:
        """All processes below the stack's own."""
        if self._process is None:
            return []
        found: dict[int, tuple[int, str]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # processes end while they are listed
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                found[int(folder.name)] = parent, (folder / "cmdline").read_text().replace("\0", " ").strip()
        below: list[int] = [self._process.pid]
        for pid in below:
            below.extend(child for child, (parent, _) in found.items() if parent == pid)
        return [Process(pid, found[pid][1]) for pid in below[1:] if pid in found]

    def kill(self) -> int:
        """Kills the stack's own process; the others end when they notice. Returns how many there were."""
        if self._process is None:
            return 0
        pids = [process.pid for process in self.processes()]
        self._process.kill()
        self._reap()
        end_s = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end_s:
            time.sleep(0.05)
        return len(pids) + 1

    def stop(self) -> None:
        """Ends it in order; what does not end is killed."""
        if self._process is None:
            return
        pids = [process.pid for process in self.processes()]
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._reap()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
