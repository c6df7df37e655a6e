"""Whether something is tried at all: not while it has only failed, save for a trial now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum

from shared.telemetry.log import event, get_logger

_MOST_FAILURES = 3
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0

_logger = get_logger("lookup")


class Permit(Enum):
    """What may be tried now: which messages may be published, for example."""

    ALL = "all"
    TRIAL = "trial"
    """One message, which shows whether the bus is back."""
    NONE = "none"


class CircuitBreaker:
    """Stops publishing, or what else it is for, after failures in a row, and lets one through after a growing pause.

    The pause doubles with each message that fails after it, up to 60 s; the first success ends it. What opens and
    closes the circuit is logged, once each. May be used by many threads.

    Args:
      clock: seconds of a clock that never goes back.
      most_failures: as many in a row open the circuit.
      first_pause_s: the pause after them.
      opened: what is logged when the circuit opens.
      closed: what is logged when it closes.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        most_failures: int = _MOST_FAILURES,
        first_pause_s: float = _FIRST_PAUSE_S,
        opened: str = "publishing misses has stopped",
        closed: str = "misses are published again",
    ) -> None:
        self._clock = clock
        self._most_failures, self._first_pause_s = most_failures, first_pause_s
        self._opened, self._closed = opened, closed
        self._lock = threading.Lock()
        self._failures = 0
        self._successes = 0
        self._opened_s: float | None = None
        self._pause_s = 0.0
        self._trial_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether publishing is stopped."""
        return self._opened_s is not None

    @property
    def successes(self) -> int:
        """How many messages came through."""
        return self._successes

    def permit(self) -> Permit:
        """What may be published now; a trial is permitted to one caller only."""
        with self._lock:
            if self._opened_s is None:
                return Permit.ALL
            now_s = self._clock()
            if now_s < self._trial_s:
                return Permit.NONE
            self._trial_s = now_s + self._pause_s
            return Permit.TRIAL

    def succeeded(self) -> None:
        """Counts a message, or whatever it is, that came through."""
        with self._lock:
            self._successes += 1
            self._failures = 0
            opened_s, self._opened_s = self._opened_s, None
            now_s = self._clock()
        if opened_s is not None:
            event(_logger, logging.WARNING, self._closed, stopped_s=round(now_s - opened_s, 1))

    def failed(self, reason: str, *, trial: bool = False) -> None:
        """Counts a message that did not come through."""
        with self._lock:
            if self._opened_s is not None:
                if trial:
                    self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
                    self._trial_s = self._clock() + self._pause_s
                return
            self._failures += 1
            if self._failures < self._most_failures:
                return
            self._opened_s = self._clock()
            self._pause_s = self._first_pause_s
            self._trial_s = self._opened_s + self._pause_s
        event(_logger, logging.ERROR, self._opened, reason=reason, failures=self._most_failures)
