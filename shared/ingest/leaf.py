"""A leaf task: the chunks of one block, computed where the compute function runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from shared.errors import StorageUnavailableError, TransientError
from shared.ingest.blocks import block_name, chunk_at
from shared.ingest.ledger import Ledger
from shared.ingest.pipeline import ChunkComputer, ChunkResult, compute_chunks
from shared.ingest.progress import Piece, open_numbers
from shared.ingest.task import BlockTask
from shared.log import StepTimer, event, get_logger

if TYPE_CHECKING:
    from shared.ingest.run import Run
    from shared.store import CacheStore
    from shared.tasks import TaskQueue
    from shared.types import Triple

_LOG = get_logger("ingest")
ATTEMPTS_IN_LEAF = 3
ATTEMPTS_OF_TASK = 8
BACK_OFF_S = 0.5
BATCHES_IN_LEAF = 4
"""So many batches at least, that their steps overlap."""

LOOK_S = 15.0
"""How often a working leaf looks whether its run was cancelled."""


@dataclass(frozen=True)
class LeafOutcome:
    """What a delivery of a leaf task did.

    Attributes:
      chunks: how many chunks it closed.
      failed: how many of these failed for good.
      nodes: rows written.
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

    def compute_block(self, body: bytes, attempt: int = 1) -> LeafOutcome:
        """Computes the open chunks of a block, then marks them as done.

        A failing chunk does not fail its block: it is tried again, then written down with its reason. Only where
        nothing works at all (every chunk failed for a transient reason) is the whole task left to the queue's back-off,
        a limited number of times. What cannot be done in time is handed on as a new task. A task whose chunks are done,
        or whose run was cancelled or resumed with new tasks, costs a look at the marks.

        Args:
          body: the task's JSON.
          attempt: how often the queue has delivered this task, from 1.

        Raises:
          BadRequestError: if the body is no task.
          TransientError: if the task is to be delivered again.
        """
        task, steps = BlockTask.from_body(body), StepTimer()
        run, ledger = task.run, Ledger(self.store, task.run.table_id)
        fields = {"run_id": run.run_id, "generation": run.generation, "block": block_name(task.block)}
        if not ledger.is_current(run):
            event(_LOG, logging.INFO, "block skipped, its run is cancelled or has new tasks", **fields)
            return LeafOutcome()
        start_s = self.clock()
        numbers = open_numbers(ledger.block_pieces(run, task.block), task.block.volume, run.retry_from)
        wanted = self._while_wanted([chunk_at(task.block, number) for number in numbers], start_s, task, ledger)
        batch_chunks = max(1, min(run.batch_chunks, len(numbers) // BATCHES_IN_LEAF))
        results = list(compute_chunks(self.computer, run, wanted, steps, batch_chunks))
        results = self._tried_again(run, results, start_s + self.budget_s, steps)
        _raise_what_the_queue_mends(results, attempt)
        outcome = self._write_down(task, ledger, numbers, results, start_s)
        event(_LOG, logging.INFO, "block computed", **fields, **vars(outcome), **steps.fields())
        return outcome

    def _while_wanted(
        self, chunks: Sequence[Triple], start_s: float, task: BlockTask, ledger: Ledger
    ) -> Iterator[Triple]:
        """The chunks, as long as there is time and the run goes on; one at least, so that every delivery gets further.

        Raises:
          StorageUnavailableError: if it cannot be seen whether the run goes on.
        """
        looked_s = start_s
        for number, chunk in enumerate(chunks):
            now_s = self.clock()
            if number and now_s > start_s + self.budget_s:
                return
            if now_s > looked_s + LOOK_S:
                looked_s = now_s
                if not ledger.is_current(task.run):
                    return
            yield chunk

    def _tried_again(self, run: Run, results: list[ChunkResult], end_s: float, steps: StepTimer) -> list[ChunkResult]:
        """The results, those of chunks that failed for a transient reason by further tries, each by itself."""
        for attempt in range(1, ATTEMPTS_IN_LEAF):
            failed = [result.chunk for result in results if isinstance(result.error, TransientError)]
            if not failed or self.clock() > end_s:
                break
            self.sleep(BACK_OFF_S * 2 ** (attempt - 1))
            in_time = takewhile(lambda _: self.clock() <= end_s, failed)
            newer = {result.chunk: result for result in compute_chunks(self.computer, run, in_time, steps)}
            results = [newer.get(result.chunk, result) for result in results]
        return results

    def _write_down(
        self, task: BlockTask, ledger: Ledger, numbers: list[int], results: list[ChunkResult], start_s: float
    ) -> LeafOutcome:
        """Marks what is done, then hands on what is left: a leaf that dies in between finds the marks next time."""
        left = len(numbers) - len(results)
        now_s = self.clock()
        pieces = _pieces(list(zip(numbers, results, strict=False)), task.run.generation, now_s, now_s - start_s)
        for result in results:
            if result.error is not None:
                kind = type(result.error).__name__
                event(_LOG, logging.ERROR, "chunk failed", chunk=result.chunk, reason=str(result.error), error=kind)
        ledger.add_pieces(task.run, task.block, pieces)
        if left:
            self.queue.enqueue([replace(task, part=task.block.volume - left).to_task()])
        failed = sum(len(piece.failed) for piece in pieces)
        return LeafOutcome(len(results), failed, sum(piece.nodes for piece in pieces), left)


def _pieces(done: list[tuple[int, ChunkResult]], generation: int, now_s: float, busy_s: float) -> list[Piece]:
    """Stretches of consecutive numbers out of the ascending ones that were done."""
    borders = [i for i in range(1, len(done)) if done[i][0] != done[i - 1][0] + 1]
    stretches = [done[i:j] for i, j in zip([0, *borders], [*borders, len(done)], strict=True)] if done else []
    return [
        Piece(
            first=stretch[0][0],
            stop=stretch[-1][0] + 1,
            nodes=sum(result.nodes for _, result in stretch),
            busy_s=busy_s * len(stretch) / len(done),
            finished_s=now_s,
            generation=generation,
            failed={number: str(result.error) for number, result in stretch if result.error is not None},
        )
        for stretch in stretches
    ]


def _raise_what_the_queue_mends(results: list[ChunkResult], attempt: int) -> None:
    errors = [result.error for result in results if isinstance(result.error, TransientError)]
    for error in errors:
        # Without the table there is no place for marks either.
        if isinstance(error, StorageUnavailableError):
            raise error
    if errors and len(errors) == len(results) and attempt < ATTEMPTS_OF_TASK:
        raise errors[0]
