"""What each caller may have in a minute of all instances together: leased from counters that they share.

An instance adds to a caller's counter before it grants, and grants only what the counter held below the limit at that
moment. It adds for several requests at once, a lease, so that most requests cause no I/O. A lease is no larger than
what the caller has had in this minute from this instance (a hundredth of the limit at first), nor than a twentieth of
what was left when the counter last answered: near the limit leases are of one, and little of it lies unused with an
instance that the caller does not meet again. What was added beyond the limit is taken back. What lies unused goes with
the minute.

The first 400th of the limit is granted before the counter is asked, and added with the first lease: callers who come
seldom cause no I/O. So 20 instances together grant at most 105 % of a limit, and never more than a limit below 400.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import L2CacheError
from shared.lookup.circuit import CircuitBreaker, Permit
from shared.store.quota import QuotaCounters

_MOST_CALLERS = 10_000
# parts of the limit: granted before the counter is asked, in the first lease at most; of what is left in any lease
_CREDIT_SHARE, _FIRST_SHARE, _MOST_SHARE = 400, 100, 20
_AGAIN_S = 1.0
_FIRST_PAUSE_S = 1.0


@dataclass(frozen=True)
class Balance:
    """How a caller stands after it has asked for something.

    Attributes:
      granted: whether it got what it asked for.
      limit: what it may have in a minute.
      remaining: what it may still have in this minute, as far as this instance knows.
      reset_s: Unix time at which the next minute begins, in whole seconds.
    """

    granted: bool
    limit: int
    remaining: int
    reset_s: int


class SharedCounters:
    """The counters, or None in place of an answer while they do not answer. May be used by many threads.

    Args:
      open_counters: opens them, at the first use; gives the same ones each time. None if there are none to share.
      clock: seconds of a clock that never goes back.
    """

    def __init__(
        self, open_counters: Callable[[], QuotaCounters] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = open_counters
        self._circuit = CircuitBreaker(
            clock,
            most_failures=1,
            first_pause_s=_FIRST_PAUSE_S,
            opened="quotas are counted in this instance alone",
            closed="quotas are counted with the other instances again",
        )

    def add(self, counter: str, minute: int, amount: int) -> int | None:
        """As `QuotaCounters.add`; None if there is no answer, or there has been none lately."""
        permit = self._circuit.permit()
        if self._open is None or permit is Permit.NONE:
            return None
        try:
            total = self._open().add(counter, minute, amount)
        except L2CacheError as error:
            self._circuit.failed(str(error), trial=permit is Permit.TRIAL)
            return None
        self._circuit.succeeded()
        return total


class LeasedQuota:
    """Grants each caller what it may have in a minute of all instances. May be used by many threads.

    While the counters do not answer, this instance counts alone; what it grants meanwhile is added to them afterwards.
    Memory is bounded: of more callers than `most_callers` those that have been quiet longest are forgotten, with what
    was leased for them.

    Args:
      kind: of what; names its counters.
      counters: what all instances add to.
      most_callers: how many callers are remembered.
      clock: Unix time; that of the instances may differ by a little.
    """

    def __init__(
        self,
        kind: str,
        counters: SharedCounters,
        most_callers: int = _MOST_CALLERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kind, self._counters = kind, counters
        self._most_callers = most_callers
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def take(self, caller: str, limit: int, wanted: int = 1) -> Balance:
        """Grants a caller all that it wants, or nothing of it.

        Args:
          caller: who asks.
          limit: what it may have in a minute; at least 1.
          wanted: how much it asks for.
        """
        now_s = self._clock()
        minute = int(now_s // 60)
        account = self._account(caller, minute)
        with account.lock:
            granted = account.take(limit, wanted, now_s)
            return Balance(granted, limit, account.remaining(limit), 60 * (minute + 1))

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._accounts)

    def _account(self, caller: str, minute: int) -> _Account:
        with self._lock:
            account = self._accounts.get(caller)
            if account is None or account.minute != minute:
                account = self._accounts[caller] = _Account(f"{self._kind} {caller}", minute, self._counters)
            self._accounts.move_to_end(caller)
            if len(self._accounts) > self._most_callers:
                self._accounts.popitem(last=False)
            return account


class _Account:
    """What one caller has of one minute in this instance. Its methods are called with its lock held."""

    def __init__(self, counter: str, minute: int, counters: SharedCounters) -> None:
        self.minute = minute
        self.lock = threading.Lock()
        self._counter, self._counters = counter, counters
        self._held = self._used = 0
        self._unreported = 0  # of what is used, what the counter has not been told of
        self._left: int | None = None  # what the counter had left when it last answered
        self._refused_s = -_AGAIN_S

    def take(self, limit: int, wanted: int, now_s: float) -> bool:
        """Whether the caller gets what it wants."""
        if self._held < wanted and not self._lease(limit, wanted, now_s):
            return False
        self._held -= wanted
        self._used += wanted
        return True

    def remaining(self, limit: int) -> int:
        """What the caller may still have, as far as is known here."""
        if self._left is None or self._unreported:
            return max(0, limit - self._used)
        return self._held + self._left

    def _lease(self, limit: int, wanted: int, now_s: float) -> bool:
        """Whether there is as much at hand as is wanted, after more has been asked for."""
        if self._left is not None and self._held + self._left < wanted and now_s < self._refused_s + _AGAIN_S:
            return False
        if self._left is None and self._used + wanted <= limit // _CREDIT_SHARE:
            return self._grant_untold(wanted)
        lease = max(wanted - self._held, self._size(limit))
        total = self._counters.add(self._counter, self.minute, self._unreported + lease)
        if total is None:
            # what the caller has had here counts alone
            return self._used + wanted <= limit and self._grant_untold(wanted)
        self._unreported = 0
        below_limit = max(0, limit - (total - lease))
        fits = self._held + min(lease, below_limit) >= wanted
        leased = min(lease, below_limit) if fits else 0
        self._held += leased
        self._left = below_limit - leased
        if not fits:
            self._refused_s = now_s
        if leased < lease:
            self._counters.add(self._counter, self.minute, leased - lease)
        return fits

    def _size(self, limit: int) -> int:
        left = limit if self._left is None else self._left
        return min(max(self._used, limit // _FIRST_SHARE), left // _MOST_SHARE)

    def _grant_untold(self, wanted: int) -> bool:
        self._unreported += wanted - self._held
        self._held = wanted
        return True
