"""A way for misses to the compute function: how much of it each caller gets, and whether its bus is tried at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.bus.protocol import Publisher
from shared.lookup.circuit import CircuitBreaker, Permit
from shared.lookup.rate import MinuteShares
from shared.types import UInt64Array

_THREADS = 4


@dataclass(frozen=True, eq=False)
class Admission:
    """What of some ids may be published in a lane now.

    Attributes:
      ids: those that may: the first of them.
      not_tried: how many of the others may not since the bus has failed lately.
      withheld: how many of the others are beyond the caller's share.
      is_trial: whether `ids` go although the bus has failed lately.
    """

    ids: UInt64Array
    not_tried: int = 0
    withheld: int = 0
    is_trial: bool = False


class MissLane:
    """One of the ways. May be used by many threads.

    Args:
      publisher: the bus.
      per_minute: ids of one caller that are published in a minute, 0 for no limit.
      attributes: of each message, beside those that all misses have.
      clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        publisher: Publisher,
        per_minute: int = 0,
        attributes: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.publisher = publisher
        self.attributes = dict(attributes or {})
        self.circuit = CircuitBreaker(clock)
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="misses")
        self._shares = MinuteShares(per_minute, clock=clock)

    def admit(self, l2_ids: UInt64Array, caller: str, ids_per_trial: int) -> Admission:
        """What of some ids may be published now; it is taken from the caller's share.

        Args:
          l2_ids: uint64[n], ascending, distinct.
          caller: who asked for them.
          ids_per_trial: how many may go where one message is to show whether the bus is back.
        """
        permit = self.circuit.permit() if l2_ids.size else Permit.NONE
        tried = {Permit.ALL: l2_ids, Permit.TRIAL: l2_ids[:ids_per_trial], Permit.NONE: l2_ids[:0]}[permit]
        granted = self._shares.take(caller, len(tried))
        not_tried, withheld = len(l2_ids) - len(tried), len(tried) - granted
        return Admission(tried[:granted], not_tried, withheld, permit is Permit.TRIAL)

    def close(self) -> None:
        """Waits for what is under way, and closes the bus."""
        self.threads.shutdown()
        self.publisher.close()
