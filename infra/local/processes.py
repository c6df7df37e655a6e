"""The child processes of the local stack: starting them, waiting until they answer, keeping them up, ending them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0
RESTART_PAUSE_S = 1.0


class ChildFailedError(RuntimeError):
    """A child ended or did not answer while the stack was starting; the message shows the end of its log."""


@dataclass(frozen=True)
class ChildSpec:
    """How to start a child.

    Attributes:
      name: of the child and of its log.
      arguments: a module and its arguments.
      environment: variables on top of this process's own.
      ready_url: answers 200 as soon as the child is ready; None if it needs no waiting.
    """

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None


class Child:
    """A running child in a process group of its own."""

    def __init__(self, spec: ChildSpec, log_file: Path) -> None:
        self.spec = spec
        self.log_file = log_file
        environment = {**os.environ, **spec.environment, "PYTHONUNBUFFERED": "1"}
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.local.child", *spec.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Returns when the child answers.

        Raises:
          ChildFailedError: if it ends, or does not answer in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while self.spec.ready_url is not None:
            with contextlib.suppress(requests.RequestException):
                if requests.get(self.spec.ready_url, timeout=5).ok:
                    return
            if not self.running or time.monotonic() > deadline_s:
                tail = self.log_file.read_text(errors="replace")[-2000:]
                raise ChildFailedError(f"{self.spec.name} did not start; the end of {self.log_file}:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Asks the child to end, and after a few seconds ends it with all its processes; does nothing a second time."""
        if self._process.stdin is None or self._process.stdin.closed:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Supervisor:
    """Keeps a set of children running until it is stopped. What cannot be started is tried again, every second."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._children: list[Child] = []
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self, specs: list[ChildSpec]) -> None:
        """Starts all children at once and returns when every one of them is ready."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        try:
            self._children = [Child(spec, self._log_folder / f"{spec.name}.log") for spec in specs]
            for child in self._children:
                child.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Ends all children, the ones started last first."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        for child in reversed(self._children):
            child.stop()
        self._children = []

    def _watch(self) -> None:
        while not self._stopping.wait(RESTART_PAUSE_S):
            for index, child in enumerate(self._children):
                if not child.running:
                    self._restart(index)

    def _restart(self, index: int) -> None:
        child = self._children[index]
        child.stop()
        try:
            self._children[index] = Child(child.spec, child.log_file)
        except OSError as error:  # no room for its log, or for another process
            _tell(f"{child.spec.name} ended and cannot be started yet: {error}")
        else:
            _tell(f"{child.spec.name} ended and is started again; see {child.log_file}")


def _tell(text: str) -> None:
    # where standard error is a file on a full disk there is nobody to tell, and more to do
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)
