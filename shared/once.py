"""A value that is made when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Makes a value at its first use, in one thread, however many ask at the same time.

    functions-framework loads a function's module before it forks its server process: connections and threads must not
    be made at import. A maker that raises is asked again by the next caller.

    >>> number = Once(lambda: 7)
    >>> number()
    7
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        """The value."""
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]
