"""Which missing ids were published a short while ago."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from shared.types import BoolArray, UInt64Array

_CAPACITY_IDS = 1_000_000


class PublishedMisses:
    """The ids of one table that were published within the pause; at most `capacity` of them, 16 bytes each.

    Beyond the capacity the oldest are forgotten: publishing an id once more than needed is harmless.
    May be used by many threads.
    """

    def __init__(
        self, pause_s: float, capacity: int = _CAPACITY_IDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause_s = pause_s
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        # Aligned, ascending by id.
        self._ids = np.empty(0, dtype=np.uint64)
        self._until_s = np.empty(0, dtype=np.float64)

    def due(self, l2_ids: UInt64Array) -> UInt64Array:
        """Those of `l2_ids` (ascending, distinct) that could be claimed now."""
        with self._lock:
            _, due = self._find(l2_ids, self._clock())
            return l2_ids[due]

    def claim(self, l2_ids: UInt64Array) -> UInt64Array:
        """Those of `l2_ids` that are to be published now; they count as published from here on.

        Args:
          l2_ids: uint64[n], ascending and distinct.

        Returns:
          uint64[m], ascending.
        """
        with self._lock:
            now_s = self._clock()
            places, due = self._find(l2_ids, now_s)
            self._ids = np.insert(self._ids, places[due], l2_ids[due])
            self._until_s = np.insert(self._until_s, places[due], now_s + self._pause_s)
            excess = len(self._ids) - self._capacity
            if excess > 0:
                kept = np.ones(len(self._ids), dtype=np.bool_)
                kept[np.argpartition(self._until_s, excess - 1)[:excess]] = False
                self._keep(kept)
            return l2_ids[due]

    def release(self, l2_ids: UInt64Array) -> None:
        """Takes a claim back: publishing these ids failed."""
        with self._lock:
            self._keep(~np.isin(self._ids, l2_ids))

    def __len__(self) -> int:
        with self._lock:
            return len(self._ids)

    def _find(self, l2_ids: UInt64Array, now_s: float) -> tuple[npt.NDArray[np.intp], BoolArray]:
        """Where ids are or would be, and whether they are not there, after those whose pause is over were forgotten."""
        self._keep(self._until_s > now_s)
        places = np.searchsorted(self._ids, l2_ids)
        due = np.ones(len(l2_ids), dtype=np.bool_)
        inside = places < len(self._ids)
        due[inside] = self._ids[places[inside]] != l2_ids[inside]
        return places, due

    def _keep(self, kept: BoolArray) -> None:
        if not kept.all():
            self._ids, self._until_s = self._ids[kept], self._until_s[kept]
