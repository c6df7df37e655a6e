"""When an answer must be there: set once where a request comes in, and kept by whatever waits for others on its behalf.

What waits (for a graph server, a store, the authentication service) asks how long it may. Without a limit, as in the
functions that nobody waits for, it is as long as its own time-outs say.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_UNTIL_S: ContextVar[float] = ContextVar("until", default=math.inf)


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """Bounds all waiting of this thread inside the block; a block inside it does not extend the time."""
    token = _UNTIL_S.set(min(_UNTIL_S.get(), time.monotonic() + limit_s))
    try:
        yield
    finally:
        _UNTIL_S.reset(token)


@contextmanager
def unlimited() -> Iterator[None]:
    """Lifts the limit inside the block: for what goes on when nobody waits for it any more."""
    token = _UNTIL_S.set(math.inf)
    try:
        yield
    finally:
        _UNTIL_S.reset(token)


@contextmanager
def uncounted() -> Iterator[None]:
    """Stops the clock of the innermost `within` inside the block: for the time that a client takes itself."""
    started_s = time.monotonic()
    try:
        yield
    finally:
        prolong(time.monotonic() - started_s)


def prolong(by_s: float) -> None:
    """Gives the innermost `within` more time."""
    _UNTIL_S.set(_UNTIL_S.get() + by_s)


def time_left_s(most_s: float = math.inf) -> float:
    """Seconds until the limit, at least 0 and at most `most_s`; infinite if there is neither.

    >>> time_left_s()
    inf
    >>> with within(0.0):
    ...     time_left_s(5.0)
    0.0
    >>> time_left_s(5.0)
    5.0
    """
    return min(most_s, max(0.0, _UNTIL_S.get() - time.monotonic()))


def longest_wait_s() -> float | None:
    """As `time_left_s`, in the way that Python's own waiting wants it: None without a limit."""
    left_s = time_left_s()
    return None if left_s == math.inf else left_s


def carried(work: Callable[..., T]) -> Callable[..., T]:
    """`work` for another thread, under the limit of the thread that calls this."""
    until_s = _UNTIL_S.get()

    def run(*arguments: object) -> T:
        token = _UNTIL_S.set(until_s)
        try:
            return work(*arguments)
        finally:
            _UNTIL_S.reset(token)

    return run
