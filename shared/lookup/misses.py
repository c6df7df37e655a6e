"""Publishing missing ids to the compute function, each at most once within a pause."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace

import numpy as np

from shared.bus.protocol import Publisher
from shared.config.datasets import Dataset
from shared.deadline import time_left_s
from shared.errors import L2CacheError
from shared.lookup.lane import Admission, MissLane
from shared.lookup.pending import PendingStates
from shared.lookup.published import PublishedMisses
from shared.messages.messages import CACHE_ATTRIBUTE, GRAPH_ATTRIBUTE, TRACE_ATTRIBUTE, WAITED_ATTRIBUTES, encode_misses
from shared.telemetry.log import get_logger
from shared.telemetry.trace import current_trace, traceparent
from shared.types import UInt64Array

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


@dataclass(eq=False)
class _Message:
    """A message on its way to the bus.

    Attributes:
      ids: the ids in it, which are claimed in `recent`.
      recent: misses of their table that were published a short while ago.
      attributes: of the message.
      data: of the message.
      lane: its way.
      is_trial: whether it goes although the circuit is open.
      recorded: done when other instances can read that its ids are pending; None as long as the bus has not taken it.
    """

    ids: UInt64Array
    recent: PublishedMisses
    attributes: dict[str, str]
    data: bytes
    lane: MissLane
    is_trial: bool
    recorded: Future[None] | None = None
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
      wait_s: longest to wait for them, unless the answer's deadline comes before.
      counts: ids that are not on their way.
      successes: what the lanes' circuits had counted before the first of them went out.
      recent_ids: those that were left out since this instance has published them a short while ago.

    Attributes:
      recent_ids: as they were given.
    """

    def __init__(
        self,
        parts: Sequence[tuple[_Message, Future[bool]]],
        wait_s: float,
        counts: MissCounts,
        successes: Mapping[MissLane, int],
        recent_ids: UInt64Array,
    ) -> None:
        self.recent_ids = recent_ids
        self._parts = parts
        self._wait_s = wait_s
        self._counts = counts
        self._successes = successes

    @property
    def taken_ids(self) -> UInt64Array:
        """The ids that the bus has by now: uint64[n], ascending."""
        taken = [message.ids for message, taken in self._parts if _was_taken(taken)]
        return np.sort(np.concatenate(taken)) if taken else np.empty(0, dtype=np.uint64)

    def wait(self) -> MissCounts:
        """What became of the misses within the time that there is.

        Messages that no thread has begun by then are given up. Those under way go on without anybody waiting; they
        count as unpublished. Where there is time, other instances know of what was published when this returns.
        """
        wait_s = time_left_s(self._wait_s)
        end_s = time.monotonic() + wait_s
        _, late = wait_for([taken for _, taken in self._parts], timeout=wait_s)
        published = 0
        for message, taken in self._parts:
            if taken in late and taken.cancel():
                message.release()
            elif _was_taken(taken):
                published += len(message.ids)
        for message, taken in self._parts:
            # A bus that takes other messages meanwhile is slow, not unavailable; one that had less time may be neither.
            is_slow = wait_s < self._wait_s or message.lane.circuit.successes > self._successes[message.lane]
            if taken in late and not is_slow and message.judge():
                message.lane.circuit.failed(f"not taken within {self._wait_s:g} s", trial=message.is_trial)
        recorded = [message.recorded for message, _ in self._parts if message.recorded is not None]
        wait_for(recorded, timeout=max(0.0, end_s - time.monotonic()))
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
      pending: where is written down what was published; nowhere if None.
      waited: the bus of what somebody waits for; that of the others if None.
      waited_per_minute: ids of one caller that go there in a minute, 0 for no limit; further ones go with the others.

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
        pending: PendingStates | None = None,
        waited: Publisher | None = None,
        waited_per_minute: int = 0,
    ) -> None:
        self.pause_s = pause_s
        self._message_bytes = message_bytes
        self._wait_s = wait_s
        self._clock = clock
        self._pending = pending
        self._lane = MissLane(publisher, per_minute, clock=clock)
        self._waited_lane = MissLane(waited or publisher, waited_per_minute, WAITED_ATTRIBUTES, clock)
        self._lock = threading.Lock()
        self._by_table: dict[str, PublishedMisses] = {}

    def start(self, dataset: Dataset, l2_ids: UInt64Array, caller: str, *, is_waited: bool = False) -> Publication:
        """Publishes those of `l2_ids` that were not published just now, as far as the caller's share goes.

        Args:
          dataset: whose they are.
          l2_ids: uint64[n], ascending, distinct, able to exist.
          caller: who asked for them.
          is_waited: whether the caller waits for them: as far as its share of that goes, they overtake the others.
        """
        recent = self._recent(dataset.l2cache_id)
        due = recent.due(l2_ids)
        ids_per_trial = self._message_bytes // _ID_BYTES
        first = self._waited_lane.admit(due if is_waited else due[:0], caller, ids_per_trial)
        others = self._lane.admit(due[len(first.ids) :], caller, ids_per_trial)
        counts = MissCounts(unpublished=others.not_tried, withheld=others.withheld)
        successes = {lane: lane.circuit.successes for lane in (self._waited_lane, self._lane)}
        parts = [
            (message, message.lane.threads.submit(self._publish, message))
            for lane, admission in ((self._waited_lane, first), (self._lane, others))
            for message in self._messages(dataset, recent, lane, admission)
        ]
        recent_ids = np.setdiff1d(l2_ids, due, assume_unique=True)
        return Publication(parts, self._wait_s, counts, successes, recent_ids)

    def close(self) -> None:
        """Waits for what is under way, and closes the bus."""
        self._waited_lane.close()
        self._lane.close()
        if self._pending is not None:
            self._pending.close()

    def _recent(self, table_id: str) -> PublishedMisses:
        with self._lock:
            recent = self._by_table.get(table_id)
            if recent is None:
                recent = self._by_table[table_id] = PublishedMisses(self.pause_s, clock=self._clock)
            return recent

    def _messages(
        self, dataset: Dataset, recent: PublishedMisses, lane: MissLane, admission: Admission
    ) -> list[_Message]:
        claimed, trace = recent.claim(admission.ids), current_trace()
        further = {**lane.attributes, **({TRACE_ATTRIBUTE: traceparent(trace)} if trace else {})}
        encoded = encode_misses(dataset.graph_id, dataset.l2cache_id, claimed, self._message_bytes)
        return [
            _Message(
                np.frombuffer(data, dtype="<u8"), recent, {**attributes, **further}, data, lane, admission.is_trial
            )
            for attributes, data in encoded
        ]

    def _publish(self, message: _Message) -> bool:
        circuit = message.lane.circuit
        if circuit.is_open and not message.is_trial:
            message.release()
            return False
        since_s = self._pending.now_s() if self._pending is not None else 0.0
        try:
            message.lane.publisher.publish(message.attributes, message.data)
        except Exception as error:  # noqa: BLE001  # whatever goes wrong with the bus, the look-up is answered
            message.release()
            if message.judge():
                self._failed(message, error)
            return False
        if message.judge():
            circuit.succeeded()
        if self._pending is not None:
            message.recorded = self._pending.add(message.attributes[CACHE_ATTRIBUTE], message.ids, since_s)
        return True

    def _failed(self, message: _Message, error: Exception) -> None:
        circuit = message.lane.circuit
        circuit.failed(f"{type(error).__name__}: {error}", trial=message.is_trial)
        # The circuit says itself that it is open; no record for each message then.
        if not circuit.is_open:
            foreseen = isinstance(error, L2CacheError)
            fields = {"graph_id": message.attributes[GRAPH_ATTRIBUTE], "ids": len(message.ids), "reason": str(error)}
            _logger.log(
                logging.WARNING if foreseen else logging.ERROR,
                "misses were not published",
                exc_info=not foreseen,
                extra={"fields": fields},
            )
