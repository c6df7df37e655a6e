"""The parent's side: a child process, asked one job at a time, and the outcome of a job whose process died."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import shared
from shared.errors import ChunkFaultError, TransientError
from shared.isolation.wire import error_of
from shared.telemetry.log import event, get_logger

DEATHS = 2
"""A job that so many processes died at is given up: one may have been killed from outside."""

START_LIMIT_S = 120.0
_DOING = {"read": "reading", "map": "mapping", "features": "computing", "write": "writing"}
_PIECE_BYTES = 65536

_logger = get_logger("isolation")


class JobEndedError(Exception):
    """The process did not answer a job, or it reported an unexpected error; says what."""


class Child:
    """A child process that computes chunks. For one thread; use it as a context manager.

    The process is started with the first job, with the environment of this one, and anew after it died.

    Args:
      limit_s: how long a job may take.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""
        self._does_not_start = False

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The process's id; 0 if there is none just now."""
        return self._process.pid if self._process is not None else 0

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The result of a job.

        Raises:
          ChunkFaultError: if the process died at it repeatedly, or it ended unexpectedly in another way.
          TransientError: if no process can be started.
          L2CacheError: what the job raised.
        """
        for _ in range(DEATHS):
            try:
                return self._ask_once(job)
            except JobEndedError as error:
                reason = str(error)
                event(_logger, logging.WARNING, "isolated process failed", job=job["job"], reason=reason)
                self._end()
        raise ChunkFaultError(reason)

    def _ask_once(self, job: dict[str, Any]) -> dict[str, Any]:
        process, end_s = self._started(), time.monotonic() + self._limit_s
        doing = "starting with"
        try:
            self._send(process, job)
            while True:
                told = self._next(process, end_s)
                match told["tells"]:
                    case "step":
                        doing = _DOING.get(told["step"], told["step"])
                    case "fault":
                        raise JobEndedError(f"{told['what']} while {doing} the chunk")
                    case "error":
                        raise error_of(told)
                    case "result":
                        return dict(told["result"])
        except EOFError:
            raise JobEndedError(f"{_death(process)} while {doing} the chunk") from None
        except TimeoutError:
            raise JobEndedError(f"it took longer than {self._limit_s:g} s, {doing} the chunk") from None

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, which is ready for a job."""
        if self._does_not_start:
            raise TransientError("the process for isolated chunks does not start")
        if self._process is None:
            # imported for its name: what is not imported is not part of the function's package
            from shared.isolation import main

            root = str(Path(shared.__file__).parents[1])
            path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
            try:
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                    [sys.executable, "-m", main.__name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": path},
                )
                self._next(self._process, time.monotonic() + START_LIMIT_S)
            except (OSError, EOFError) as error:
                self._end()
                self._does_not_start = True
                raise TransientError("the process for isolated chunks does not start") from error
        return self._process

    def _send(self, process: subprocess.Popen[bytes], job: dict[str, Any]) -> None:
        assert process.stdin is not None  # noqa: S101  # it is a pipe
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise EOFError from None

    def _next(self, process: subprocess.Popen[bytes], end_s: float) -> dict[str, Any]:
        """The next thing that the process tells; EOFError if it died, TimeoutError if it says nothing for too long."""
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        while b"\n" not in self._read:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
                raise TimeoutError
            piece = os.read(process.stdout.fileno(), _PIECE_BYTES)
            if not piece:
                raise EOFError
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return dict(json.loads(line))

    def _end(self) -> None:
        process, self._process, self._read = self._process, None, b""
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _death(process: subprocess.Popen[bytes]) -> str:
    status = process.wait()
    if status >= 0:
        return f"the process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name == "SIGKILL":
        return "the process was killed (SIGKILL, as it is when memory runs out)"
    return f"the process died ({name})"
