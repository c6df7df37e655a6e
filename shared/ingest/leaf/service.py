"""A leaf task: work on the chunks of one block, computed or what else their run is for, in the compute function."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol, TypeAlias

from shared.attributes import further_names
from shared.errors import (
    BadRequestError,
    ChunkFaultError,
    L2CacheError,
    OutOfMemoryError,
    StorageUnavailableError,
    TransientError,
)
from shared.ingest.blocks import block_name, chunk_at
from shared.ingest.kind import RunKind
from shared.ingest.leaf.closing import close_if_ended
from shared.ingest.leaf.files import failed_results
from shared.ingest.leaf.kinds import BLOCK_WORK, Computer, work_on_chunks
from shared.ingest.leaf.pipeline import ChunkResult
from shared.ingest.leaf.progress import LeafProgress
from shared.ingest.ledger import Ledger
from shared.ingest.progress import open_numbers
from shared.ingest.task import BlockTask
from shared.store.delivery_counts import DEATHS_BEFORE_ISOLATION, DeliveryCounts
from shared.telemetry.log import StepTimer, event, get_logger

if TYPE_CHECKING:
    from shared.config.datasets import Datasets
    from shared.ingest.run import Run
    from shared.store.protocol import CacheStore
    from shared.tasks.protocol import TaskQueue
    from shared.types import Triple

_logger = get_logger("ingest")
ATTEMPTS_IN_LEAF = 3
ATTEMPTS_OF_TASK = 8
BACK_OFF_S = 0.5
BATCHES_IN_LEAF = 4
"""So many batches at least, that their steps overlap."""

CANCEL_CHECK_INTERVAL_S = 15.0
DEATHS_BEFORE_GIVING_UP = 5
"""After so many deliveries without an answer, a block that is done whole has failed."""


Compute: TypeAlias = "Callable[[Iterable[Triple]], Iterable[ChunkResult]]"


class Isolation(Protocol):
    """A process of its own for chunks that may kill the one that computes them."""

    def compute_chunk(self, run: Run, chunk: Triple) -> ChunkResult:
        """Computes a chunk and writes its rows; an error is part of the result, a `ChunkFaultError` among them."""


@dataclass(frozen=True)
class LeafOutcome:
    """What a delivery of a leaf task did.

    Attributes:
      chunks: how many chunks it closed.
      failed: how many of these failed for good.
      nodes: how many nodes' rows it wrote.
      left: open chunks of the block that were handed on.
    """

    chunks: int = 0
    failed: int = 0
    nodes: int = 0
    left: int = 0


@dataclass(frozen=True)
class LeafService:
    """Does leaf tasks.

    Attributes:
      datasets: what is configured: tasks of anything else are refused.
      computer: the steps of a chunk.
      store: where the marks go.
      queue: where the rest of a block goes that would take too long.
      budget_s: time after which no further chunk is begun; well below the queue's deadline.
      isolation: a process of its own, for tasks that were delivered again and again; None does without.
      clock: Unix time.
      elapsed: seconds that never go back.
      sleep: waits that many seconds between tries.
    """

    datasets: Datasets
    computer: Computer
    store: CacheStore
    queue: TaskQueue
    budget_s: float
    isolation: Callable[[], AbstractContextManager[Isolation]] | None = None
    clock: Callable[[], float] = time.time
    elapsed: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def compute_block(self, body: bytes, attempt: int = 1) -> LeafOutcome:
        """Computes the open chunks of a block, and marks them as done as it goes.

        A failing chunk does not fail its block: it is tried again, then written down with its reason. Only where
        nothing works at all (every chunk failed for a transient reason) is the whole task left to the queue's back-off,
        a limited number of times. What cannot be done in time is handed on as a new task. A task whose chunks are done,
        or whose run was cancelled or resumed with new tasks, costs one read of the marks.

        A process that dies takes nothing with it but the last seconds. If that happened twice to a task, its chunks are
        computed one after the other in a process of their own, so that one that kills its process can be written down
        as failed.

        Args:
          body: the task's JSON.
          attempt: how often the queue has delivered this task, from 1.

        Raises:
          BadRequestError: if the body is no task of a configured table.
          TransientError: if the task is to be delivered again.
        """
        task = BlockTask.from_body(body)
        if not task.is_leaf or not task.run.is_of(self.datasets):
            raise BadRequestError(f"no leaf task of a configured table: {block_name(task.block)} of {task.run.run_id}")
        run, ledger = task.run, Ledger.of_run(self.store, task.run)
        if not ledger.is_current(run):
            event(_logger, logging.INFO, "block skipped, its run is cancelled or has new tasks", **_fields(task))
            return LeafOutcome()
        pieces = ledger.block_pieces(run, task.block)
        numbers = open_numbers(pieces.all, task.block.volume, run.retry_from)
        if run.kind.is_by_block and numbers:
            numbers = list(range(task.block.volume))
        attributes = further_names(self.computer.attributes) if run.kind is RunKind.INGEST else ()
        progress = LeafProgress(ledger, task, numbers, pieces.doing, self.clock, self.elapsed, attributes)
        steps, deliveries = StepTimer(), DeliveryCounts(self.store, run.table_id, task.name)
        try:
            self._compute(task, ledger, numbers, progress, steps, attempt, deliveries.begin(attempt).deaths)
            outcome = self._finish(task, progress, len(numbers), steps)
            if not outcome.left:
                close_if_ended(self.computer, self.store, run, task.block)
        except TransientError:
            deliveries.answer()
            raise
        except MemoryError as error:
            # counts as a death, not as an answer
            raise OutOfMemoryError("memory ran out while chunks were computed") from error
        if attempt > 1:
            deliveries.settle()
        return outcome

    def _compute(
        self,
        task: BlockTask,
        ledger: Ledger,
        numbers: Sequence[int],
        progress: LeafProgress,
        steps: StepTimer,
        attempt: int,
        deaths: int,
    ) -> None:
        if task.run.kind.is_by_block:
            progress.results.extend(self._work_on_block(task, ledger, steps, deaths) if numbers else ())
            _raise_if_retryable(progress, attempt)
            return
        end_s = self.elapsed() + self.budget_s
        chunks = [chunk_at(task.block, number) for number in numbers]
        isolated = self.isolation if deaths >= DEATHS_BEFORE_ISOLATION else None
        with isolated() if isolated and chunks else nullcontext() as isolation:
            batch_chunks = max(1, min(task.run.batch_chunks, len(numbers) // BATCHES_IN_LEAF))
            compute: Compute = partial(work_on_chunks, self.computer, task.run, steps=steps, batch_chunks=batch_chunks)
            singly: Compute = partial(work_on_chunks, self.computer, task.run, steps=steps)
            if isolation is not None:
                compute = singly = partial(map, partial(isolation.compute_chunk, task.run))
            for result in compute(self._until_deadline_or_cancelled(chunks, end_s, task, ledger)):
                progress.add(result)
            self._try_again(singly, progress, end_s)
        _raise_if_retryable(progress, attempt)

    def _work_on_block(self, task: BlockTask, ledger: Ledger, steps: StepTimer, deaths: int) -> list[ChunkResult]:
        """Does a block whole, whatever time it takes: leaves of such runs are small enough."""
        if deaths >= DEATHS_BEFORE_GIVING_UP:
            return failed_results(task, ChunkFaultError(f"{deaths} processes died at the block"))
        chunks = [chunk_at(task.block, number) for number in range(task.block.volume)]
        going = self._until_deadline_or_cancelled(chunks, math.inf, task, ledger)
        try:
            return BLOCK_WORK[task.run.kind](self.computer, task, going, steps)
        except L2CacheError as error:
            return failed_results(task, error)

    def _until_deadline_or_cancelled(
        self, chunks: Sequence[Triple], end_s: float, task: BlockTask, ledger: Ledger
    ) -> Iterator[Triple]:
        """The chunks, as long as there is time and the run goes on; one at least, so that every delivery gets further.

        Raises:
          StorageUnavailableError: if it cannot be seen whether the run goes on.
        """
        checked_s = self.elapsed()
        for number, chunk in enumerate(chunks):
            now_s = self.elapsed()
            if number and now_s > end_s:
                return
            if now_s > checked_s + CANCEL_CHECK_INTERVAL_S:
                checked_s = now_s
                if not ledger.is_current(task.run):
                    return
            yield chunk

    def _try_again(self, compute: Compute, progress: LeafProgress, end_s: float) -> None:
        """Tries chunks again that failed for a transient reason, each by itself."""
        for attempt in range(1, ATTEMPTS_IN_LEAF):
            failed = [result.chunk for result in progress.results if isinstance(result.error, TransientError)]
            if not failed or self.elapsed() > end_s:
                break
            progress.save()
            self.sleep(BACK_OFF_S * 2 ** (attempt - 1))
            progress.replace(list(compute(takewhile(lambda _: self.elapsed() <= end_s, failed))))

    def _finish(self, task: BlockTask, progress: LeafProgress, wanted: int, steps: StepTimer) -> LeafOutcome:
        """Marks what is done, then hands on what is left: a leaf that dies in between finds the marks next time."""
        left = wanted - len(progress.results)
        pieces = progress.finish()
        if left and progress.results:
            self.queue.enqueue([replace(task, part=task.block.volume - left).to_task()])
        failed = sum(len(piece.failed) for piece in pieces)
        outcome = LeafOutcome(len(progress.results), failed, sum(piece.rows for piece in pieces), left)
        event(_logger, logging.INFO, "block computed", **_fields(task), **vars(outcome), **steps.fields())
        return outcome


def _fields(task: BlockTask) -> dict[str, object]:
    return {"run_id": task.run.run_id, "generation": task.run.generation, "block": block_name(task.block)}


def _raise_if_retryable(progress: LeafProgress, attempt: int) -> None:
    """Leaves a task to the queue if another delivery may succeed.

    Raises:
      TransientError: the reason.
    """
    errors = [result.error for result in progress.results if isinstance(result.error, TransientError)]
    retryable: L2CacheError | None = next((e for e in errors if isinstance(e, StorageUnavailableError)), None)
    if retryable is None and errors and len(errors) == len(progress.results) and attempt < ATTEMPTS_OF_TASK:
        retryable = errors[0]
    if retryable is not None:
        # Without the table there is no place for marks either; but it may be back.
        progress.save()
        raise retryable
