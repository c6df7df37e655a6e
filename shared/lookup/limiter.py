"""Refuses what is beyond a caller's quota, and says in each answer how the caller stands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import flask

from shared.errors import RateLimitedError, TooLargeError
from shared.lookup.quota import Balance, LeasedQuota, SharedCounters
from shared.lookup.user_limits import IDS, QUERY, UserLimits

LIMIT, REMAINING, RESET = "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"
LIMIT_IDS, REMAINING_IDS = f"{LIMIT}-Ids", f"{REMAINING}-Ids"
RATE_LIMIT_HEADERS = (LIMIT, REMAINING, RESET, LIMIT_IDS, REMAINING_IDS)
"""How a caller stands: requests, the Unix time at which both begin anew, and ids."""


class CallerLimiter:
    """Counts requests and ids of the senders of Flask's requests. May be used by many threads.

    Args:
      limits: what each may have in a minute.
      counters: what all instances add to.
      clock: Unix time.
    """

    def __init__(self, limits: UserLimits, counters: SharedCounters, clock: Callable[[], float] = time.time) -> None:
        self._limits, self._clock = limits, clock
        self._requests = LeasedQuota("requests", counters, clock=clock)
        self._ids = LeasedQuota("ids", counters, clock=clock)

    def take_request(self, caller: str) -> None:
        """Counts Flask's current request.

        Args:
          caller: who sent it.

        Raises:
          RateLimitedError: if its sender has made too many; it says after how many seconds the next one is welcome.
        """
        limit = self._limits.of(flask.g.get("auth_user"), QUERY)
        if limit:
            balance = self._requests.take(caller, limit)
            self._settle(balance, "requests", LIMIT, REMAINING)

    def take_ids(self, caller: str, count: int) -> None:
        """Counts the ids that Flask's current request asks for.

        Args:
          caller: who sent it.
          count: how many there are.

        Raises:
          TooLargeError: if they are more than its sender may ask for in a whole minute.
          RateLimitedError: if they are more than are left to it; it says after how many seconds there are more.
        """
        limit = self._limits.of(flask.g.get("auth_user"), IDS)
        if not limit or not count:
            return
        if count > limit:
            raise TooLargeError(f"{count} ids were asked for, at most {limit} are allowed in a minute")
        self._settle(self._ids.take(caller, limit, count), "ids", LIMIT_IDS, REMAINING_IDS)

    def _settle(self, balance: Balance, what: str, limit_header: str, remaining_header: str) -> None:
        """Notes what the answer's headers say, and raises if there was nothing left."""
        headers = flask.g.setdefault("rate_limit", {})
        headers.update({limit_header: balance.limit, remaining_header: balance.remaining, RESET: balance.reset_s})
        if not balance.granted:
            wait_s = max(1, math.ceil(balance.reset_s - self._clock()))
            raise RateLimitedError(f"more than {balance.limit} {what} in a minute; wait {wait_s} s", wait_s)


def answer_rate_limits(app: flask.Flask) -> None:
    """Makes the answers of `app`, errors included, say how their callers stand, where a limiter was asked."""

    def add_headers(response: flask.Response) -> flask.Response:
        for name, value in flask.g.get("rate_limit", {}).items():
            response.headers[name] = str(value)
        return response

    app.after_request(add_headers)
