"""A leaf task: the chunks of one block, computed where the compute function runs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from shared.errors import L2CacheError, StorageUnavailableError, TransientError
from shared.ingest.blocks import block_name, chunks
from shared.ingest.pipeline import ChunkComputer, ChunkResult, compute_chunks
from shared.ingest.run import DoneMark
from shared.ingest.task import BlockTask
from shared.log import StepTimer, event, get_logger

if TYPE_CHECKING:
    from shared.store import CacheStore
    from shared.tasks import TaskQueue
    from shared.types import Triple

_LOG = get_logger("ingest")
ATTEMPTS_IN_LEAF = 3
ATTEMPTS_OF_TASK = 8
BACK_OFF_S = 0.5


@dataclass(frozen=True)
class LeafService:
    """Does leaf tasks.

    Attributes:
      computer: the steps of a chunk.
      store: where the marks go.
      queue: where the rest of a block goes that would take too long.
      budget_s: time after which no further chunk is begun; well below the queue's deadline.
      clock: Unix time.
      sleep: waits that many seconds between tries.
    """

    computer: ChunkComputer
    store: CacheStore
    queue: TaskQueue
    budget_s: float
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def compute_block(self, body: bytes, attempt: int = 1) -> DoneMark:
        """Computes the chunks of a block, then marks them as done.

        A failing chunk does not fail its block: it is tried again, then written down with its reason. Only where
        nothing works at all (every chunk failed for a transient reason) is the whole task left to the queue's back-off,
        a limited number of times. What cannot be done in time is handed on as a new task.

        Args:
          body: the task's JSON.
          attempt: how often the queue has delivered this task, from 1.

        Raises:
          BadRequestError: if the body is no task.
          TransientError: if the task is to be delivered again.
        """
        task, steps = BlockTask.from_body(body), StepTimer()
        end_s = self.clock() + self.budget_s
        results = list(compute_chunks(self.computer, task.run, self._until(end_s, task), steps))
        results = [self._tried_again(task, result, end_s) for result in results]
        _raise_what_the_queue_mends(results, attempt)
        mark = self._mark(task, results)
        event(
            _LOG,
            logging.INFO,
            "block computed",
            run_id=task.run.run_id,
            block=block_name(task.block),
            first=task.first,
            stop=mark.stop,
            nodes=mark.nodes,
            **steps.fields(),
        )
        return mark

    def _until(self, end_s: float, task: BlockTask) -> Iterator[Triple]:
        """The task's chunks, as long as there is time; one at least, so that every delivery gets further."""
        for number, chunk in enumerate(islice(chunks(task.block), task.first, None)):
            if number and self.clock() > end_s:
                return
            yield chunk

    def _tried_again(self, task: BlockTask, result: ChunkResult, end_s: float) -> ChunkResult:
        for attempt in range(1, ATTEMPTS_IN_LEAF):
            if not isinstance(result.error, TransientError) or self.clock() > end_s:
                break
            self.sleep(BACK_OFF_S * 2 ** (attempt - 1))
            (result,) = compute_chunks(self.computer, task.run, [result.chunk], StepTimer())
        return result

    def _mark(self, task: BlockTask, results: list[ChunkResult]) -> DoneMark:
        run, stop = task.run, task.first + len(results)
        mark = DoneMark(stop, sum(result.nodes for result in results), self.clock())
        failed = {
            run.failed_mark(result.chunk): _reason(result.error) for result in results if result.error is not None
        }
        for key, reason in failed.items():
            event(_LOG, logging.ERROR, "chunk failed", mark=key, reason=reason.decode())
        if stop < task.block.volume:
            self.queue.enqueue([replace(task, first=stop).to_task()])
        # The mark of what is done comes last: until it is there, the chunks count as not done.
        self.store.write_marks(run.table_id, failed)
        self.store.delete_marks(run.table_id, [run.failed_mark(result.chunk) for result in results if not result.error])
        self.store.write_marks(run.table_id, {run.done_mark(task.block, task.first): mark.to_json()})
        return mark


def _raise_what_the_queue_mends(results: list[ChunkResult], attempt: int) -> None:
    errors = [result.error for result in results if isinstance(result.error, TransientError)]
    for error in errors:
        # Without the table there is no place for marks either.
        if isinstance(error, StorageUnavailableError):
            raise error
    if len(errors) == len(results) and attempt < ATTEMPTS_OF_TASK:
        raise errors[0]


def _reason(error: L2CacheError) -> bytes:
    return json.dumps({"reason": str(error), "kind": type(error).__name__}).encode()
