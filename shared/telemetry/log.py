"""Structured logging: one JSON object a line, as Cloud Logging reads it, and the timing of steps."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from shared.telemetry.trace import current_trace

_ROOT = "l2cache"
_JSON = json.JSONEncoder(default=str)


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON: severity, time, message, trace, and the fields given to `event`.

    Args:
      project: Google Cloud project of the traces; without one records name their trace in `trace` only.
    """

    def __init__(self, project: str = "") -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        trace = line.get("trace") or current_trace()
        if trace:
            line["trace"] = trace
            if self._project:
                # https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
                line["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _JSON.encode(line)


def configure(level: str, project: str = "") -> None:
    """Sends the records of this system to stderr as JSON; called once by each function when it starts.

    Args:
      level: DEBUG, INFO, WARNING or ERROR.
      project: Google Cloud project of the traces, empty outside of one.
    """
    logger = logging.getLogger(_ROOT)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(project))
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def get_logger(name: str) -> logging.Logger:
    """The logger of a part of the system, for example `get_logger("compute")`."""
    return logging.getLogger(f"{_ROOT}.{name}")


def event(logger: logging.Logger, level: int, message: str, /, **fields: Any) -> None:
    """Logs `message` with fields of its own; never pass a token, a cookie or a request's headers."""
    logger.log(level, message, extra={"fields": fields})


def never_succeeds(logger: logging.Logger, what: str, error: Exception, **fields: object) -> None:
    """Logs that something that was delivered can never succeed, for which it is not to be delivered again.

    Args:
      logger: of the part of the system.
      what: what was delivered: `message`.
      error: why it can not.
      fields: which one it was.
    """
    event(logger, logging.ERROR, f"{what} can never succeed", **fields, reason=str(error), error=type(error).__name__)


class StepTimer:
    """Milliseconds per named step, for logs and benchmarks alike. Threads may share one.

    Args:
      on_step: told the name of each step that begins.

    >>> steps = StepTimer()
    >>> with steps.step("read"):
    ...     pass
    >>> list(steps.milliseconds)
    ['read']
    """

    def __init__(self, on_step: Callable[[str], None] | None = None) -> None:
        self.milliseconds: dict[str, float] = {}
        self._on_step = on_step
        self._lock = threading.Lock()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to the step of that name."""
        if self._on_step is not None:
            self._on_step(name)
        start_s = time.perf_counter()
        try:
            yield
        finally:
            elapsed_ms = (time.perf_counter() - start_s) * 1000
            with self._lock:
                self.milliseconds[name] = self.milliseconds.get(name, 0.0) + elapsed_ms

    def fields(self) -> dict[str, float]:
        """The steps as log fields: `{"read_ms": 1.2, ...}`."""
        return {f"{name}_ms": round(value, 2) for name, value in self.milliseconds.items()}
