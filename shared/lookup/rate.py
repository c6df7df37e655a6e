"""How much of something each caller may have in a minute, counted in this instance."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CALLERS = 10_000


class MinuteShares:
    """A bucket per caller, which fills again over a minute. May be used by many threads.

    Memory is bounded: of more callers than `most_callers` those that have been quiet longest are forgotten, which gives
    them a full bucket when they come back. With several instances of a function each counts for itself.

    Args:
      per_minute: what a caller may have in a minute, all at once or spread; 0 for no limit.
      most_callers: how many callers are remembered.
      clock: seconds of a clock that never goes back.
    """

    def __init__(
        self, per_minute: int, most_callers: int = _MOST_CALLERS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_minute = per_minute
        self._most_callers = most_callers
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, wanted: int = 1) -> int:
        """How many of `wanted` a caller may have now, from none to all; they are taken from its share."""
        if not self.per_minute or not wanted:
            return wanted
        with self._lock:
            left, now_s = self._left(caller)
            granted = min(wanted, int(left))
            self._buckets[caller] = (left - granted, now_s)
            self._buckets.move_to_end(caller)
            if len(self._buckets) > self._most_callers:
                self._buckets.popitem(last=False)
        return granted

    def wait_s(self, caller: str) -> float:
        """Seconds until a caller may have one more."""
        if not self.per_minute:
            return 0.0
        with self._lock:
            left, _ = self._left(caller)
        return max(0.0, (1 - left) * 60 / self.per_minute)

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._buckets)

    def _left(self, caller: str) -> tuple[float, float]:
        """What is in a caller's bucket now, and the time."""
        now_s = self._clock()
        left, since_s = self._buckets.get(caller, (float(self.per_minute), now_s))
        return min(self.per_minute, left + (now_s - since_s) * self.per_minute / 60), now_s
