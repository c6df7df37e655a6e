"""Messages of the bus: which are handled here, how, and whether the bus should deliver them again."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

import numpy as np

from shared.bus.dead_letters import DeadLetterBox
from shared.compute.outcome import NodesOutcome
from shared.compute.service import ComputeService, NodesIsolation
from shared.config.datasets import Dataset
from shared.errors import (
    BadMessageError,
    ChunkFaultError,
    L2CacheError,
    OutOfMemoryError,
    PermanentError,
    TransientError,
)
from shared.messages.cloud_events import PushedMessage
from shared.messages.messages import CACHE_ATTRIBUTE, GRAPH_ATTRIBUTE, EditMessage, decode
from shared.store.delivery_counts import DEATHS_BEFORE_ISOLATION, DeliveryCounts
from shared.store.protocol import CacheStore
from shared.telemetry.log import StepTimer, event, get_logger, never_succeeds
from shared.telemetry.trace import in_trace
from shared.types import UInt64Array

_logger = get_logger("compute")
_LOGGED_IDS = 20
_LOGGED_CHUNKS = 20


class Verdict(StrEnum):
    """What became of a message. All but `RETRY` are acknowledged."""

    DONE = "done"
    """Its nodes have their rows; ids that cannot exist or that the graph does not know were reported."""
    NOT_OURS = "not ours"
    """It is for a dataset, or a cache table, that is not configured here."""
    FAILED = "failed"
    """It can never succeed."""
    RETRY = "retry"
    """It may succeed later; rows that could be computed are written."""
    GIVEN_UP = "given up"
    """As `RETRY`, but this was its last delivery: it is among the dead letters, with its reason."""


@dataclass
class _Delivery:
    """A delivery under way: the message, what is known of it for the log, and where its deliveries are counted.

    `open_ids` are those of its ids of which nobody is told yet what became of them, should the message be given up.
    """

    message: PushedMessage
    fields: dict[str, object]
    graph_id: str = ""
    open_ids: UInt64Array = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    counts: DeliveryCounts | None = None
    is_counted: bool = False
    is_answered: bool = True
    deaths: int = 0

    @property
    def attempt(self) -> int:
        """How often the message was delivered, this time included, as far as anybody knows."""
        return self.message.attempt or 1

    def begin(self, store: CacheStore, table_id: str) -> int:
        """Counts the delivery; how many before it ended without an answer, as far as is known.

        A message without a name cannot be told from others.
        """
        if not self.message.message_id:
            return 0
        self.counts = counts = DeliveryCounts(store, table_id, self.message.message_id)
        with self._counting_may_fail():
            arrival = counts.begin(self.message.attempt)
            self.is_counted, self.deaths = self.message.attempt is None, arrival.deaths
            self.message = replace(self.message, attempt=arrival.attempt)
        return self.deaths

    def end(self, verdict: Verdict) -> None:
        """Counts that it was answered, if it is to come again; else forgets it."""
        if self.counts is None:
            return
        with self._counting_may_fail():
            if verdict is Verdict.RETRY:
                if self.is_answered:
                    self.counts.answer()
            elif self.is_counted or self.attempt > 1:
                self.counts.settle()

    @contextmanager
    def _counting_may_fail(self) -> Iterator[None]:
        """Counting is a help: where it fails, for want of a table perhaps, the message fares as it would without."""
        try:
            yield
        except L2CacheError as error:
            event(_logger, logging.WARNING, "deliveries cannot be counted", **self.fields, reason=str(error))


class MessageHandler:
    """Does what edit and miss messages ask for. May be used by many threads.

    A message of which two deliveries ended without an answer may have killed the process that computes its chunks: then
    that is done by a process of its own, so that the other chunks get their rows and the message can be given up with a
    reason.

    Args:
      service: computes.
      dead_letters: takes messages that fail at their last delivery; without it they are left to the bus.
      isolation: a process of its own; None does without.
    """

    def __init__(
        self,
        service: ComputeService,
        dead_letters: DeadLetterBox | None = None,
        isolation: Callable[[], AbstractContextManager[NodesIsolation]] | None = None,
    ) -> None:
        self._service = service
        self._dead_letters = dead_letters
        self._isolation = isolation
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def counts(self) -> dict[str, int]:
        """How many messages ended how since this instance started, by verdict."""
        with self._lock:
            return {verdict.value: self._counts[verdict.value] for verdict in Verdict}

    def handle(self, message: PushedMessage, trace: str | None = None) -> Verdict:
        """Handles one message, once or again.

        Args:
          message: as delivered.
          trace: id of the delivery's trace, passed on to the log.
        """
        fields: dict[str, object] = {
            "message_id": message.message_id,
            "dataset": message.attributes.get(GRAPH_ATTRIBUTE),
        }
        if trace:
            fields["trace"] = trace
        delivery, timer = _Delivery(message, fields), StepTimer()
        try:
            with in_trace(trace), timer.step("message"):
                verdict = self._handle(delivery)
        except ChunkFaultError as error:
            verdict = self._gave_up_chunk(delivery, error)
        except PermanentError as error:
            verdict = self.reject(error, **fields)
            self._give_up_ids(delivery, error)
        except TransientError as error:
            verdict = self._failed_for_now(delivery, error)
        except MemoryError:
            delivery.is_answered = False  # counts as a death
            verdict = self._failed_for_now(delivery, OutOfMemoryError("memory ran out while chunks were computed"))
        else:
            level = logging.DEBUG if verdict is Verdict.NOT_OURS else logging.INFO
            event(_logger, level, "message handled", **fields, verdict=verdict.value, **timer.fields())
        delivery.end(verdict)
        return verdict

    def reject(self, error: L2CacheError, **fields: object) -> Verdict:
        """Counts and logs a message that can never succeed; `fields` say which."""
        never_succeeds(_logger, "message", error, **fields)
        return self._count(Verdict.FAILED)

    def _failed_for_now(self, delivery: _Delivery, error: TransientError) -> Verdict:
        reason = _reason(delivery, error)
        if self._dead_letters is not None and self._dead_letters.take(delivery.message, str(error)):
            self._give_up_ids(delivery, error)
            event(_logger, logging.ERROR, "message was given up", **delivery.fields, **reason)
            return self._count(Verdict.GIVEN_UP)
        event(_logger, logging.WARNING, "message is to be delivered again", **delivery.fields, **reason)
        return self._count(Verdict.RETRY)

    def _gave_up_chunk(self, delivery: _Delivery, error: ChunkFaultError) -> Verdict:
        """Another try would end in the same way: the message can be replayed once the chunk is repaired."""
        reason = _reason(delivery, error)
        if self._dead_letters is not None and self._dead_letters.give_up(delivery.message, str(error)):
            event(_logger, logging.ERROR, "message was given up", **delivery.fields, **reason)
            return self._count(Verdict.GIVEN_UP)
        event(_logger, logging.ERROR, "message is to be delivered again", **delivery.fields, **reason)
        return self._count(Verdict.RETRY)

    def _handle(self, delivery: _Delivery) -> Verdict:
        message, fields = delivery.message, delivery.fields
        graph_id = message.attributes.get(GRAPH_ATTRIBUTE)
        if not graph_id:
            raise BadMessageError(f"the message has no {GRAPH_ATTRIBUTE}")
        dataset = self._service.datasets.by_graph_id.get(graph_id)
        if dataset is None or _is_for_another_table(message, dataset):
            return self._count(Verdict.NOT_OURS)
        decoded = decode(message.attributes, message.data)
        is_edit = isinstance(decoded, EditMessage)
        fields["kind"] = "edit" if is_edit else "miss"
        l2_ids = np.unique(decoded.l2_ids)
        if not l2_ids.size:
            return self._count(Verdict.DONE)
        delivery.graph_id, delivery.open_ids = graph_id, l2_ids
        deaths = delivery.begin(self._service.store, dataset.l2cache_id) if self._isolation is not None else 0
        outcome = self._compute(graph_id, l2_ids, deaths, is_edit=is_edit)
        self._give_up_chunks(delivery, outcome)
        fields.update(_fields(outcome))
        if outcome.refused or outcome.unknown_ids:
            _report_ids(outcome, fields)
        if len(outcome.refused) == len(l2_ids):
            raise BadMessageError("none of its ids can exist")
        transient = outcome.transient_failure
        if transient is not None:
            raise transient
        if outcome.failures:
            raise next(iter(outcome.failures.values()))
        return self._count(Verdict.DONE)

    def _give_up_chunks(self, delivery: _Delivery, outcome: NodesOutcome) -> None:
        """Tells of the ids of chunks that can never be computed; whatever else there is may be done yet."""
        without_node = np.array([*outcome.refused, *outcome.unknown_ids], dtype=np.uint64)
        delivery.open_ids = np.setdiff1d(delivery.open_ids, without_node, assume_unique=True)
        for coordinate, error in outcome.failures.items():
            if isinstance(error, PermanentError):
                failed = outcome.failed_ids[coordinate]
                delivery.open_ids = np.setdiff1d(delivery.open_ids, failed, assume_unique=True)
                self._service.give_up(delivery.graph_id, failed, error)

    def _give_up_ids(self, delivery: _Delivery, error: L2CacheError) -> None:
        """Tells of the ids of a message that is given up."""
        if delivery.open_ids.size:
            self._service.give_up(delivery.graph_id, delivery.open_ids, error)

    def _compute(self, graph_id: str, l2_ids: UInt64Array, deaths: int, *, is_edit: bool) -> NodesOutcome:
        if self._isolation is None or deaths < DEATHS_BEFORE_ISOLATION:
            return self._service.compute_nodes(graph_id, l2_ids, is_edit)
        with self._isolation() as isolation:
            return self._service.compute_nodes(graph_id, l2_ids, is_edit, isolation)

    def _count(self, verdict: Verdict) -> Verdict:
        with self._lock:
            self._counts[verdict.value] += 1
        return verdict


def _report_ids(outcome: NodesOutcome, fields: dict[str, object]) -> None:
    """Says which ids have no node: anybody may ask for any, so that none of them is an error of ours."""
    level = logging.WARNING if outcome.refused else logging.INFO
    refused = dict(islice(outcome.refused.items(), _LOGGED_IDS))
    unknown = list(outcome.unknown_ids[:_LOGGED_IDS])
    event(_logger, level, "ids without a node", **fields, refused_ids=refused, unknown_ids=unknown)


def _reason(delivery: _Delivery, error: L2CacheError) -> dict[str, object]:
    return {"reason": str(error), "error": type(error).__name__, "attempt": delivery.attempt}


def _is_for_another_table(message: PushedMessage, dataset: Dataset) -> bool:
    """Whether it is a miss for a cache table of the same graph that another deployment fills."""
    return message.attributes.get(CACHE_ATTRIBUTE, dataset.l2cache_id) != dataset.l2cache_id


def _fields(outcome: NodesOutcome) -> dict[str, object]:
    failed = {str(chunk): str(error) for chunk, error in islice(outcome.failures.items(), _LOGGED_CHUNKS)}
    return {
        "chunks": len(outcome.chunks),
        "chunks_failed": len(outcome.failures),
        **({"failed_chunks": failed} if failed else {}),
        "nodes": outcome.n_nodes,
        "voxelless": outcome.n_voxelless,
        "cached": outcome.n_cached,
        "refused": len(outcome.refused),
        "unknown": len(outcome.unknown_ids),
    }
