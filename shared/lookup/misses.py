"""Publishing missing ids to the compute function, each at most once within a pause."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace

import numpy as np

from shared.bus.protocol import Publisher
from shared.config.datasets import Dataset
from shared.deadline import time_left_s
from shared.errors import L2CacheError
from shared.lookup.circuit import CircuitBreaker, Permit
from shared.lookup.published import PublishedMisses
from shared.lookup.rate import MinuteShares
from shared.messages.messages import GRAPH_ATTRIBUTE, TRACE_ATTRIBUTE, encode_misses
from shared.telemetry.log import get_logger
from shared.telemetry.trace import current_trace, traceparent
from shared.types import UInt64Array

_THREADS = 4
_ID_BYTES = 8

_logger = get_logger("lookup")


@dataclass(frozen=True)
class MissCounts:
    """What became of missing ids that were not published a short while ago.

    Attributes:
      published: the bus has them.
      unpublished: the bus did not take them, or not in time, or was not tried since it has failed lately.
      withheld: they are beyond the caller's share.
    """

    published: int = 0
    unpublished: int = 0
    withheld: int = 0


@dataclass(frozen=True, eq=False)
class _Message:
    """A message on its way to the bus.

    Attributes:
      ids: the ids in it, which are claimed in `recent`.
      recent: misses of their table that were published a short while ago.
      attributes: of the message.
      data: of the message.
      trial: whether it goes although the circuit is open.
    """

    ids: UInt64Array
    recent: PublishedMisses
    attributes: dict[str, str]
    data: bytes
    trial: bool
    _unjudged: threading.Lock = field(default_factory=threading.Lock)

    def judge(self) -> bool:
        """True at the first call only: each message is one success or one failure."""
        return self._unjudged.acquire(blocking=False)

    def release(self) -> None:
        """Has the ids published again when they are next asked for."""
        self.recent.release(self.ids)


class Publication:
    """Misses on their way to the bus.

    Args:
      parts: for each message whether the bus took it, once that is known.
      circuit: counts messages that take too long.
      wait_s: longest to wait for them, unless the answer's deadline comes before.
      counts: ids that are not on their way.
      successes: what the circuit had counted before the first of them went out.
    """

    def __init__(
        self,
        parts: Sequence[tuple[_Message, Future[bool]]],
        circuit: CircuitBreaker,
        wait_s: float,
        counts: MissCounts,
        successes: int,
    ) -> None:
        self._parts = parts
        self._circuit = circuit
        self._wait_s = wait_s
        self._counts = counts
        self._successes = successes

    @property
    def taken_ids(self) -> UInt64Array:
        """The ids that the bus has by now: uint64[n]."""
        taken = [message.ids for message, taken in self._parts if _was_taken(taken)]
        return np.concatenate(taken) if taken else np.empty(0, dtype=np.uint64)

    def wait(self) -> MissCounts:
        """What became of the misses within the time that there is.

        Messages that no thread has begun by then are given up. Those under way go on without anybody waiting; they
        count as unpublished.
        """
        wait_s = time_left_s(self._wait_s)
        _, late = wait_for([taken for _, taken in self._parts], timeout=wait_s)
        published = 0
        for message, taken in self._parts:
            if taken in late and taken.cancel():
                message.release()
            elif _was_taken(taken):
                published += len(message.ids)
        # A bus that takes other messages meanwhile is slow, not unavailable; one that had less time may be neither.
        if late and wait_s == self._wait_s and self._circuit.successes == self._successes:
            for message, taken in self._parts:
                if taken in late and message.judge():
                    self._circuit.failed(f"not taken within {self._wait_s:g} s", trial=message.trial)
        unpublished = self._counts.unpublished + sum(len(message.ids) for message, _ in self._parts) - published
        return replace(self._counts, published=published, unpublished=unpublished)


def _was_taken(taken: Future[bool]) -> bool:
    return taken.done() and not taken.cancelled() and taken.result()


class MissPublisher:
    """Publishes missing ids beside the work on an answer. May be used by many threads.

    Args:
      publisher: the bus.
      pause_s: an id is not published again within this time.
      message_bytes: most data in one message.
      wait_s: longest that an answer waits for its misses to be published.
      per_minute: ids of one caller that are published in a minute, 0 for no limit.
      clock: seconds of a clock that never goes back.

    Attributes:
      pause_s: as it was given.
    """

    def __init__(
        self,
        publisher: Publisher,
        pause_s: float,
        message_bytes: int,
        wait_s: float = 2.0,
        per_minute: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self.pause_s = pause_s
        self._message_bytes = message_bytes
        self._wait_s = wait_s
        self._clock = clock
        self._shares = MinuteShares(per_minute, clock=clock)
        self._circuit = CircuitBreaker(clock)
        self._lock = threading.Lock()
        self._by_table: dict[str, PublishedMisses] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="misses")

    def start(self, dataset: Dataset, l2_ids: UInt64Array, caller: str) -> Publication:
        """Publishes those of `l2_ids` that were not published just now, as far as the caller's share goes.

        Args:
          dataset: whose they are.
          l2_ids: uint64[n], ascending, distinct, able to exist.
          caller: who asked for them.
        """
        recent = self._recent(dataset.l2cache_id)
        due = recent.due(l2_ids)
        permit = self._circuit.permit() if due.size else Permit.NONE
        tried = {Permit.ALL: due, Permit.TRIAL: due[: self._message_bytes // _ID_BYTES], Permit.NONE: due[:0]}[permit]
        granted = self._shares.take(caller, len(tried))
        claimed = recent.claim(tried[:granted])
        counts = MissCounts(unpublished=len(due) - len(tried), withheld=len(tried) - granted)
        parts, successes, trace = [], self._circuit.successes, current_trace()
        for attributes, data in encode_misses(dataset.graph_id, dataset.l2cache_id, claimed, self._message_bytes):
            if trace:
                attributes[TRACE_ATTRIBUTE] = traceparent(trace)
            ids = np.frombuffer(data, dtype="<u8")
            message = _Message(ids, recent, attributes, data, trial=permit is Permit.TRIAL)
            parts.append((message, self._threads.submit(self._publish, message)))
        return Publication(parts, self._circuit, self._wait_s, counts, successes)

    def close(self) -> None:
        """Waits for what is under way, and closes the bus."""
        self._threads.shutdown()
        self._publisher.close()

    def _recent(self, table_id: str) -> PublishedMisses:
        with self._lock:
            recent = self._by_table.get(table_id)
            if recent is None:
                recent = self._by_table[table_id] = PublishedMisses(self.pause_s, clock=self._clock)
            return recent

    def _publish(self, message: _Message) -> bool:
        if self._circuit.is_open and not message.trial:
            message.release()
            return False
        try:
            self._publisher.publish(message.attributes, message.data)
        except Exception as error:  # noqa: BLE001  # whatever goes wrong with the bus, the look-up is answered
            message.release()
            if message.judge():
                self._failed(message, error)
            return False
        if message.judge():
            self._circuit.succeeded()
        return True

    def _failed(self, message: _Message, error: Exception) -> None:
        self._circuit.failed(f"{type(error).__name__}: {error}", trial=message.trial)
        # The circuit says itself that it is open; no record for each message then.
        if not self._circuit.is_open:
            foreseen = isinstance(error, L2CacheError)
            fields = {"table_id": message.attributes[GRAPH_ATTRIBUTE], "ids": len(message.ids), "reason": str(error)}
            _logger.log(
                logging.WARNING if foreseen else logging.ERROR,
                "misses were not published",
                exc_info=not foreseen,
                extra={"fields": fields},
            )
