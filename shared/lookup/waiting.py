"""Waiting for missing ids: any number of requests, and one thread that reads for all of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from shared.attributes import SIZE
from shared.errors import L2CacheError, TableNotFoundError
from shared.store.protocol import FAILED, UNKNOWN, CacheStore, NodeState
from shared.telemetry.log import event, get_logger
from shared.types import UInt64Array

_FIRST_PAUSE_S = 0.03
_LONGEST_PAUSE_S = 0.25
_GROWTH = 1.5
_PAUSE_PER_READ = 3.0
"""So many times as long as reading took is the next pause at least: many ids do not keep the thread busy."""

_FINAL = (FAILED, UNKNOWN)
_NO_IDS = np.empty(0, dtype=np.uint64)
_logger = get_logger("lookup")


class Wait:
    """A request that waits for ids of one table.

    Args:
      l2_ids: uint64[n], ascending and distinct: what it waits for.
      before: what was stored of them when it began to wait: the same again is no news.

    Attributes:
      open_ids: those that are not final yet, ascending.
      row_ids: those that have a row by now, ascending.
      stored: what is stored of those without one, as it was read last.
      ended: set when nothing is open any more, or nobody may wait any longer.
    """

    def __init__(self, l2_ids: UInt64Array, before: Mapping[int, NodeState]) -> None:
        self.open_ids = l2_ids
        self.row_ids = _NO_IDS
        self.stored = {l2_id: before[l2_id] for l2_id in l2_ids.tolist() if l2_id in before}
        self.ended = threading.Event()
        self._before = before

    def tell(self, row_ids: UInt64Array, stored: Mapping[int, NodeState]) -> None:
        """Takes what was read of all ids that are waited for."""
        rows = np.intersect1d(self.open_ids, row_ids, assume_unique=True)
        self.row_ids = np.union1d(self.row_ids, rows)
        without_row = np.setdiff1d(self.open_ids, rows, assume_unique=True)
        self.stored.update((l2_id, stored[l2_id]) for l2_id in without_row.tolist() if l2_id in stored)
        final = [l2_id for l2_id in without_row.tolist() if self._is_final(l2_id)]
        self.open_ids = np.setdiff1d(without_row, np.array(final, dtype=np.uint64), assume_unique=True)
        if not self.open_ids.size:
            self.ended.set()

    def _is_final(self, l2_id: int) -> bool:
        state = self.stored.get(l2_id)
        return state is not None and state.name in _FINAL and state != self._before.get(l2_id)


@dataclass
class _Waits:
    """Who waits for ids of a table, and how many ever did."""

    now: list[Wait] = field(default_factory=list)
    begun: int = 0


class Waiting:
    """All requests of an instance that wait. May be used by many threads.

    One thread for each table of which ids are waited for reads them for all requests at once, after pauses that grow.

    Args:
      store: where rows and states are.
      most_requests: how many requests may wait at a time.
      is_over: asked before each read: whether nobody may wait any longer, since the process is to end.
    """

    def __init__(self, store: CacheStore, most_requests: int, is_over: Callable[[], bool] = lambda: False) -> None:
        self._store = store
        self._places = threading.Semaphore(most_requests)
        self._is_over = is_over
        self._lock = threading.Lock()
        self._waits: dict[str, _Waits] = {}
        self._closed = threading.Event()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether a request may wait: not if too many do; its place is free again at the end."""
        is_free = not self._closed.is_set() and not self._is_over() and self._places.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._places.release()

    def wait(self, table_id: str, wait: Wait, timeout_s: float) -> None:
        """Returns when nothing is open any more, or the time is over; `wait` then says what there is."""
        with self._lock:
            if self._closed.is_set():
                return
            is_first = table_id not in self._waits
            waits = self._waits.setdefault(table_id, _Waits())
            waits.now.append(wait)
            waits.begun += 1
        if is_first:
            name = f"waiting for {table_id}"
            threading.Thread(target=self._serve, args=(table_id, waits), name=name, daemon=True).start()
        wait.ended.wait(timeout_s)
        with self._lock:
            waits.now.remove(wait)

    def close(self) -> None:
        """Ends all waiting; the store stays open."""
        self._closed.set()
        with self._lock:
            for waits in self._waits.values():
                _end(waits)

    def _serve(self, table_id: str, waits: _Waits) -> None:
        try:
            self._read_until_nobody_waits(table_id, waits)
        except Exception:
            _logger.exception("waiting ended unexpectedly")
        with self._lock:
            if self._waits.get(table_id) is waits:
                del self._waits[table_id]
            _end(waits)

    def _read_until_nobody_waits(self, table_id: str, waits: _Waits) -> None:
        pause_s, begun, has_failed = _FIRST_PAUSE_S, 0, False
        while not self._closed.wait(pause_s):
            with self._lock:
                l2_ids = [wait.open_ids for wait in waits.now if not wait.ended.is_set()]
                if not l2_ids:
                    # Whoever comes later finds nothing here, and starts a thread of its own.
                    del self._waits[table_id]
                    return
                is_new, begun = waits.begun > begun, waits.begun
            if self._is_over():
                self.close()
                return
            start_s = time.monotonic()
            try:
                self._tell_all(table_id, waits, np.unique(np.concatenate(l2_ids)))
            except L2CacheError as error:
                if not has_failed:
                    fields = {"table_id": table_id, "reason": str(error)}
                    event(_logger, logging.WARNING, "what is waited for cannot be read", **fields)
                has_failed = True
            read_s = time.monotonic() - start_s
            pause_s = _FIRST_PAUSE_S if is_new else min(_GROWTH * pause_s, _LONGEST_PAUSE_S)
            pause_s = max(pause_s, _PAUSE_PER_READ * read_s)

    def _tell_all(self, table_id: str, waits: _Waits, l2_ids: UInt64Array) -> None:
        try:
            row_ids = self._store.read_cells(table_id, l2_ids, [SIZE.name]).l2_ids
        except TableNotFoundError:
            row_ids = _NO_IDS
        stored = self._store.read_states(table_id, np.setdiff1d(l2_ids, row_ids, assume_unique=True))
        with self._lock:
            for wait in waits.now:
                wait.tell(row_ids, stored)


def _end(waits: _Waits) -> None:
    for wait in waits.now:
        wait.ended.set()
