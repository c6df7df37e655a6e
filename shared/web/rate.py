"""How many requests a caller may make in a minute, counted in this instance."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import flask

from shared.errors import RateLimitedError

_MOST_CALLERS = 10_000


class RateLimiter:
    """A bucket of requests per caller, which fills again over a minute. May be used by many threads.

    Memory is bounded: of more callers than `most_callers` those that have been quiet longest are forgotten, which gives
    them a full bucket when they come back. With several instances of a function each counts for itself.

    Args:
      per_minute: requests that a caller may make in a minute, all at once or spread; 0 for no limit.
      most_callers: how many callers are remembered.
      clock: seconds of a clock that never goes back.
    """

    def __init__(
        self, per_minute: int, most_callers: int = _MOST_CALLERS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_minute = per_minute
        self._most_callers = most_callers
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Counts a request of a caller.

        Raises:
          RateLimitedError: if it has made too many; it says after how many seconds the next one is welcome.
        """
        if not self._per_minute:
            return
        now_s = self._clock()
        with self._lock:
            left, since_s = self._buckets.get(caller, (float(self._per_minute), now_s))
            left = min(self._per_minute, left + (now_s - since_s) * self._per_minute / 60)
            allowed = left >= 1
            self._buckets[caller] = (left - 1 if allowed else left, now_s)
            self._buckets.move_to_end(caller)
            if len(self._buckets) > self._most_callers:
                self._buckets.popitem(last=False)
        if not allowed:
            wait_s = math.ceil((1 - left) * 60 / self._per_minute)
            raise RateLimitedError(f"more than {self._per_minute} requests in a minute; wait {wait_s} s", wait_s)

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._buckets)


def caller_of_request() -> str:
    """Who sent Flask's current request: the user that middle-auth found, else the address that it came from.

    The platform's front end appends the address it sees to `X-Forwarded-For`; what stands before it is the caller's own
    word, and is not believed.
    """
    user = flask.g.get("auth_user")
    if isinstance(user, dict) and user.get("id"):
        return f"user {user['id']}"
    forwarded = flask.request.headers.get("X-Forwarded-For", "")
    return f"address {forwarded.rpartition(',')[2].strip() or flask.request.remote_addr}"
