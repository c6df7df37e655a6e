"""How many requests a caller may make in a minute, and who the caller is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import flask

from shared.errors import RateLimitedError
from shared.lookup.rate import MinuteShares


class RateLimiter:
    """Refuses requests beyond a caller's share of a minute. May be used by many threads.

    Args:
      per_minute: requests that a caller may make in a minute; 0 for no limit.
      clock: seconds of a clock that never goes back.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._shares = MinuteShares(per_minute, clock=clock)

    def take(self, caller: str) -> None:
        """Counts a request of a caller.

        Raises:
          RateLimitedError: if it has made too many; it says after how many seconds the next one is welcome.
        """
        if not self._shares.take(caller):
            wait_s = max(1, math.ceil(self._shares.wait_s(caller)))
            raise RateLimitedError(f"more than {self._shares.per_minute} requests in a minute; wait {wait_s} s", wait_s)


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
