"""A value that is asked for once, however many need it, each of whom waits no longer than it may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Generic, TypeVar

from shared.deadline import longest_wait_s, unlimited
from shared.errors import GraphUnavailableError

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Asks for a value in a thread of its own and keeps it. May be used by many threads.

    Whoever has no time left goes away without it. The asking goes on, so that an answer that takes longer than anybody
    may wait is there for those who come later. A failure reaches all who wait for it, and the next one asks anew.

    Args:
      ask: gets the value.
      what: the value, for the error.
    """

    def __init__(self, ask: Callable[[], T], what: str) -> None:
        self._ask = ask
        self._what = what
        self._lock = threading.Lock()
        self._flight: Future[T] | None = None

    def __call__(self) -> T:
        """The value.

        Raises:
          GraphUnavailableError: if it is not there within the time.
        """
        flight = self._current()
        try:
            return flight.result(longest_wait_s())
        except TimeoutError:
            if flight.done():
                raise
            raise GraphUnavailableError(f"{self._what} did not come in time") from None

    def _current(self) -> Future[T]:
        """What is asked already, or was; else the flight that begins now."""
        with self._lock:
            flight = self._flight
            if flight is None or (flight.done() and flight.exception() is not None):
                flight = self._flight = Future()
                context = copy_context()  # with the trace of who asks first
                threading.Thread(target=context.run, args=(self._fly, flight), daemon=True).start()
            return flight

    def _fly(self, flight: Future[T]) -> None:
        try:
            with unlimited():
                flight.set_result(self._ask())
        except BaseException as error:  # noqa: BLE001  # it is raised where the value is waited for
            flight.set_exception(error)
