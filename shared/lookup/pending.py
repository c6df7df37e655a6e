"""Writing down, for all instances, which ids were published and wait to be computed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from shared.errors import L2CacheError
from shared.store.protocol import PENDING, CacheStore, NodeState
from shared.telemetry.log import event, get_logger
from shared.types import UInt64Array

_logger = get_logger("lookup")


@dataclass(frozen=True, eq=False)
class _Entry:
    table_id: str
    l2_ids: UInt64Array
    since_s: float
    written: Future[None] = field(default_factory=Future)


class PendingStates:
    """Writes states of published ids: what has come together while one write was under way, with the next.

    States are a help to clients: where they cannot be written this is logged, and nothing else. May be used by many
    threads.

    Args:
      store: where states lie.
      clock: Unix time.
    """

    def __init__(self, store: CacheStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self.now_s = clock
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pending")

    def add(self, table_id: str, l2_ids: UInt64Array, since_s: float) -> Future[None]:
        """Has ids written down as pending.

        Args:
          table_id: the cache table.
          l2_ids: uint64[n].
          since_s: Unix time before they were published: what the compute function says of them is newer.

        Returns:
          Done when they are written, or cannot be.
        """
        entry = _Entry(table_id, l2_ids, since_s)
        with self._lock:
            self._entries.append(entry)
        self._thread.submit(self._write_all)
        return entry.written

    def close(self) -> None:
        """Writes what there is; the store stays open."""
        self._thread.shutdown()

    def _write_all(self) -> None:
        with self._lock:
            entries, self._entries = self._entries, []
        try:
            for table_id in {entry.table_id for entry in entries}:
                self._write(table_id, [entry for entry in entries if entry.table_id == table_id])
        finally:
            for entry in entries:
                entry.written.set_result(None)

    def _write(self, table_id: str, entries: list[_Entry]) -> None:
        states = {l2_id: NodeState(PENDING, entry.since_s) for entry in entries for l2_id in entry.l2_ids.tolist()}
        try:
            self._store.write_states(table_id, states)
        except L2CacheError as error:
            fields = {"table_id": table_id, "ids": len(states), "reason": str(error)}
            event(_logger, logging.WARNING, "states of ids cannot be written", **fields)
