"""Word of missing ids to the compute function, each id at most once in a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from shared.bus import Publisher
from shared.datasets import Dataset
from shared.log import get_logger
from shared.messages import TRACE_ATTRIBUTE, encode_misses
from shared.trace import current_trace, traceparent
from shared.types import UInt64Array

_LEDGER_IDS = 1_000_000
_THREADS = 4

_logger = get_logger("lookup")


class MissLedger:
    """The ids of one table that were published within the pause; at most `capacity` of them, 16 bytes each.

    Beyond the capacity the oldest are forgotten: publishing an id once more than needed is harmless.
    May be used by many threads.
    """

    def __init__(
        self, pause_s: float, capacity: int = _LEDGER_IDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause_s = pause_s
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        # Aligned, ascending by id.
        self._ids = np.empty(0, dtype=np.uint64)
        self._until_s = np.empty(0, dtype=np.float64)

    def claim(self, l2_ids: UInt64Array) -> UInt64Array:
        """Those of `l2_ids` that are to be published now; they count as published from here on.

        Args:
          l2_ids: uint64[n], ascending and distinct.

        Returns:
          uint64[m], ascending.
        """
        with self._lock:
            now_s = self._clock()
            self._keep(self._until_s > now_s)
            places = np.searchsorted(self._ids, l2_ids)
            due = np.ones(len(l2_ids), dtype=np.bool_)
            inside = places < len(self._ids)
            due[inside] = self._ids[places[inside]] != l2_ids[inside]
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

    def _keep(self, kept: np.typing.NDArray[np.bool_]) -> None:
        if not kept.all():
            self._ids, self._until_s = self._ids[kept], self._until_s[kept]


@dataclass(frozen=True)
class Publication:
    """Misses on their way to the bus.

    Attributes:
      parts: for each message the number of its ids, and whether the bus took it, once that is known.
    """

    parts: tuple[tuple[int, Future[bool]], ...] = ()

    def wait(self) -> tuple[int, int]:
        """Numbers of ids that were published, and that were not because publishing failed, when all are through."""
        outcomes = [(n_ids, taken.result()) for n_ids, taken in self.parts]
        published = sum(n_ids for n_ids, taken in outcomes if taken)
        return published, sum(n_ids for n_ids, _ in outcomes) - published


class MissPublisher:
    """Publishes missing ids beside the work on an answer. May be used by many threads.

    Args:
      publisher: the bus.
      pause_s: an id is not published again within this time.
      message_bytes: most data in one message.
      clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        publisher: Publisher,
        pause_s: float,
        message_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._pause_s = pause_s
        self._message_bytes = message_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._ledgers: dict[str, MissLedger] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="misses")

    def start(self, dataset: Dataset, l2_ids: UInt64Array) -> Publication:
        """Publishes those of `l2_ids` (ascending, distinct, able to exist) that were not published just now."""
        ledger = self._ledger(dataset.l2cache_id)
        due = ledger.claim(l2_ids)
        if not due.size:
            return Publication()
        trace = current_trace()
        messages = encode_misses(dataset.graph_id, dataset.l2cache_id, due, self._message_bytes)
        parts = []
        for attributes, data in messages:
            ids = np.frombuffer(data, dtype="<u8")
            if trace:
                attributes[TRACE_ATTRIBUTE] = traceparent(trace)
            parts.append((len(ids), self._threads.submit(self._publish, ledger, attributes, data, ids)))
        return Publication(tuple(parts))

    def close(self) -> None:
        """Waits for what is under way, and lets go of the bus."""
        self._threads.shutdown()
        self._publisher.close()

    def _ledger(self, table_id: str) -> MissLedger:
        with self._lock:
            ledger = self._ledgers.get(table_id)
            if ledger is None:
                ledger = self._ledgers[table_id] = MissLedger(self._pause_s, clock=self._clock)
            return ledger

    def _publish(self, ledger: MissLedger, attributes: dict[str, str], data: bytes, ids: UInt64Array) -> bool:
        try:
            self._publisher.publish(attributes, data)
        except Exception:  # whatever goes wrong with the bus, the look-up is answered
            ledger.release(ids)
            fields = {"table_id": attributes.get("table_id"), "ids": len(ids)}
            _logger.log(logging.ERROR, "misses were not published", exc_info=True, extra={"fields": fields})
            return False
        return True
