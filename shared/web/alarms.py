"""Alarms: a call for each that is not cancelled in time, by one thread for all of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable


class Alarms:
    """Calls back when a fixed delay is over. May be used by many threads.

    Setting and cancelling costs no more than a lock: most alarms are cancelled long before they are due, and as all
    have the same delay they are due in the order in which they were set. The thread is made at the first alarm, so that
    a server process can fork before.

    Args:
      delay_s: from setting an alarm to its call.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._set: dict[int, tuple[float, Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None
        self._idle = False

    def set(self, call: Callable[[], None]) -> int:
        """Has `call` called after the delay, in another thread; it must not raise. Returns what cancels it."""
        with self._changed:
            number = next(self._numbers)
            self._set[number] = (time.monotonic() + self._delay_s, call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
                self._thread.start()
            elif self._idle:
                self._changed.notify()
            return number

    def cancel(self, number: int) -> None:
        """Forgets an alarm, if it was not called yet."""
        with self._changed:
            self._set.pop(number, None)

    def __len__(self) -> int:
        """How many are set."""
        return len(self._set)

    def _run(self) -> None:
        while True:
            self._next()()

    def _next(self) -> Callable[[], None]:
        """The call of the next alarm that is due, when it is."""
        with self._changed:
            while True:
                self._idle = not self._set
                if self._idle:
                    self._changed.wait()
                    continue
                number, (due_s, call) = next(iter(self._set.items()))
                left_s = due_s - time.monotonic()
                if left_s <= 0:
                    del self._set[number]
                    return call
                self._changed.wait(left_s)
