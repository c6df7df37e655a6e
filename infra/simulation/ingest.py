"""One simulated ingest."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from zlib import crc32

import numpy as np

from infra.simulation.world import Cloud, Marks, RecordedQueue, Timeline
from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.geometry.grid import GraphGeometry
from shared.ingest.control.request import StartRequest
from shared.ingest.control.service import IngestService
from shared.ingest.leaf.progress import SAVE_INTERVAL_S
from shared.ingest.ledger import Ledger
from shared.ingest.progress import Piece, RunStatus, open_numbers
from shared.ingest.task import BlockTask
from shared.store.protocol import CacheStore
from shared.tasks.protocol import Task
from shared.types import Triple

DATASET, TABLE = "simulated", "l2cache_simulated"
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
TRIES_OF_CHUNK = 3
SPREAD_OF_CHUNKS = 0.5
SPREAD_OF_BLOCKS = 0.3


@dataclass(frozen=True)
class Outcome:
    """What came of a simulated ingest.

    Attributes:
      chunks: of the run.
      leaves: leaf tasks that were enqueued, those handed on included.
      expands: expand tasks that were enqueued.
      redelivered: deliveries that failed.
      enqueued_s: when the last leaf task was enqueued that is not one that was handed on.
      wall_s: until every chunk was done.
      ideal_s: all work shared evenly among the workers, without any other cost.
      idle: share of the workers' time that was lost while there were leaf tasks still to be enqueued.
      failed_chunks: chunks given up.
      marks: marks at the end.
      status_s: real seconds that the last `status` took, its marks being in memory.
    """

    chunks: int
    leaves: int
    expands: int
    redelivered: int
    enqueued_s: float
    wall_s: float
    ideal_s: float
    idle: float
    failed_chunks: int
    marks: int
    status_s: float

    @property
    def overhead_share(self) -> float:
        """Expand tasks per leaf task."""
        return self.expands / self.leaves

    @property
    def tasks_per_chunk(self) -> float:
        """All tasks per chunk."""
        return (self.leaves + self.expands) / self.chunks


@dataclass
class _Queue:
    """A queue of Cloud Tasks: in order for each receiver, so many a second, so many at a time."""

    waiting: dict[str, deque[tuple[Task, int]]] = field(default_factory=lambda: {"ingest": deque(), "compute": deque()})
    under_way: int = 0
    free_again_s: float = 0.0


class SimulatedIngest:
    """An ingest of a grid of chunks.

    Args:
      grid: chunks along x, y, z.
      cloud: limits, latencies and faults.
      seed: of all chance.

    Attributes:
      marks: what was written down so far.
    """

    def __init__(self, grid: Triple, cloud: Cloud, seed: int = 1) -> None:
        self._cloud = cloud
        self._chance = np.random.default_rng(seed)
        self._timeline, self._noted = Timeline(), RecordedQueue()
        self.marks = self._make_marks()
        self._service = self._make_service(grid)
        self._queues = [_Queue() for _ in range(cloud.queues)]
        self._free = {"compute": cloud.workers, "ingest": cloud.expanders}
        self._counts = {"leaves": 0, "expands": 0, "redelivered": 0}
        self._enqueued_s = self._work_s = 0.0
        self._idle_s = self._idle_total_s = self._idle_since_s = 0.0
        self._handed_on: set[str] = set()

    def run(self) -> Outcome:
        """Simulates it from the start to the end."""
        run_id = self._begin().run.run_id
        self._create(self._noted.take())
        self._timeline.run()
        wall_s, start_s = self._timeline.now_s, time.perf_counter()
        status = self._service.status(DATASET, run_id)
        status_s = time.perf_counter() - start_s
        if not status.finished:
            raise AssertionError(f"the simulated run is not finished: {status}")
        return Outcome(
            chunks=status.total_chunks,
            **self._counts,
            enqueued_s=self._enqueued_s,
            wall_s=wall_s,
            ideal_s=self._work_s / self._cloud.workers,
            idle=self._idle_s / (wall_s * self._cloud.workers),
            failed_chunks=status.failed_chunks,
            marks=len(self.marks),
            status_s=status_s,
        )

    def _make_marks(self) -> Marks:
        return Marks()

    def _make_service(self, grid: Triple) -> IngestService:
        return simulated_service(grid, self._noted, cast(Any, self.marks), self._timeline)

    def _begin(self) -> RunStatus:
        return self._service.start(StartRequest(DATASET, MOMENT))

    def _create(self, tasks: list[Task]) -> float:
        """Creates tasks, some at a time; how long it takes."""
        cloud = self._cloud
        for number, task in enumerate(tasks):
            after_s = (number // cloud.creates_at_once + 1) * cloud.create_s
            self._timeline.after(after_s, partial(self._arrive, task, 1))
        return -(-len(tasks) // cloud.creates_at_once) * cloud.create_s

    def _arrive(self, task: Task, attempt: int) -> None:
        if attempt == 1 and task.target == "compute":
            self._counts["leaves"] += 1
            if task.name not in self._handed_on:
                # What the workers idled until now, they idled for want of tasks that exist.
                self._enqueued_s = self._timeline.now_s
                self._note_idle()
                self._idle_s = self._idle_total_s
        elif attempt == 1:
            self._counts["expands"] += 1
        queue = self._queues[crc32(task.name.encode()) % len(self._queues)]
        queue.waiting[task.target].append((task, attempt))
        self._dispatch(queue)

    def _note_idle(self) -> None:
        now_s = self._timeline.now_s
        self._idle_total_s += self._free["compute"] * (now_s - self._idle_since_s)
        self._idle_since_s = now_s

    def _dispatch(self, queue: _Queue) -> None:
        """Hands out what may be handed out."""
        cloud, now_s = self._cloud, self._timeline.now_s
        for target, tasks in queue.waiting.items():
            while tasks and self._free[target] and queue.under_way < cloud.concurrent:
                task, attempt = tasks.popleft()
                self._note_idle()
                self._free[target] -= 1
                queue.under_way += 1
                queue.free_again_s = max(queue.free_again_s, now_s) + 1 / cloud.dispatches_per_s
                delay_s = queue.free_again_s - now_s + cloud.deliver_s
                self._timeline.after(delay_s, partial(self._deliver, queue, task, attempt))

    def _deliver(self, queue: _Queue, task: Task, attempt: int) -> None:
        if self._chance.random() < self._cloud.failures:
            self._timeline.after(0.0, partial(self._fail, queue, task, attempt))
        elif task.target == "ingest":
            self._service.expand(task.body)
            self._timeline.after(self._create(self._noted.take()), partial(self._end, queue, task))
        else:
            self._work(queue, task, attempt)

    def _work(self, queue: _Queue, task: Task, attempt: int) -> None:
        """What `LeafService` does, with made-up times instead of chunks."""
        block_task, cloud = BlockTask.from_body(task.body), self._cloud
        ledger = Ledger(cast(Any, self.marks), block_task.run.table_id)
        pieces = ledger.block_pieces(block_task.run, block_task.block)
        numbers = open_numbers(pieces.all, block_task.block.volume, block_task.run.retry_from)
        factor = self._chance.lognormal(-(SPREAD_OF_BLOCKS**2) / 2, SPREAD_OF_BLOCKS)
        shape = 1 / SPREAD_OF_CHUNKS**2
        seconds = self._chance.gamma(shape, factor * cloud.chunk_s / shape, len(numbers))
        ends = np.cumsum(seconds)
        # A chunk is begun if the one before ends within the budget.
        n_done = min(len(numbers), 1 + int(np.searchsorted(ends, cloud.budget_s, "right")))
        tries = self._chance.geometric(1 - cloud.failures, n_done) if cloud.failures else np.ones(n_done, dtype=int)
        again_s = float(((np.minimum(tries, TRIES_OF_CHUNK) - 1) * (seconds[:n_done] + 0.5)).sum())
        busy_s = float(ends[n_done - 1]) + again_s if n_done else 0.0
        if self._chance.random() < cloud.deaths:
            dead_s = busy_s * self._chance.random()
            saved = numbers[: int(np.searchsorted(ends, dead_s - SAVE_INTERVAL_S, "right"))]

            def die() -> None:
                if saved:
                    piece = Piece(saved[0], saved[-1] + 1, 100 * len(saved), dead_s, self._timeline.now_s)
                    ledger.set_doing(block_task.run, block_task.block, [*pieces.doing, piece])
                self._work_s += float(seconds[: len(saved)].sum())
                self._fail(queue, task, attempt)

            self._timeline.after(dead_s, die)
            return
        self._work_s += float(seconds[:n_done].sum())
        failed = {numbers[i]: "it failed" for i in np.flatnonzero(tries > TRIES_OF_CHUNK).tolist()}

        def finish() -> None:
            if n_done:
                stretch = (numbers[0], numbers[n_done - 1] + 1)
                piece = Piece(*stretch, 100 * n_done, busy_s, self._timeline.now_s, failed=failed)
                ledger.add_pieces(block_task.run, block_task.block, [*pieces.doing, piece])
            if pieces.doing:
                ledger.set_doing(block_task.run, block_task.block, [])
            if n_done < len(numbers):
                rest = replace(block_task, part=block_task.block.volume - len(numbers) + n_done).to_task()
                self._handed_on.add(rest.name)
                self._noted.enqueue([rest])
                self._create(self._noted.take())
            self._end(queue, task)

        self._timeline.after(busy_s, finish)

    def _fail(self, queue: _Queue, task: Task, attempt: int) -> None:
        self._counts["redelivered"] += 1
        self._timeline.after(self._cloud.pause_s(attempt), partial(self._arrive, task, attempt + 1))
        self._end(queue, task)

    def _end(self, queue: _Queue, task: Task) -> None:
        self._note_idle()
        self._free[task.target] += 1
        queue.under_way -= 1
        for other in self._queues:
            self._dispatch(other)


def simulated_service(
    grid: Triple, queue: RecordedQueue, store: CacheStore, clock: Callable[[], float]
) -> IngestService:
    """The ingest service of a dataset of that many chunks along x, y, z, of which there is nothing but its geometry."""
    dataset = Dataset(DATASET, f"graphene://https://server/segmentation/table/{DATASET}", TABLE)
    info = {
        "data_dir": "gs://simulated",
        "graph": {"chunk_size": [256, 256, 512], "spatial_bit_masks": {"2": 12}},
        "scales": [{"resolution": [8, 8, 40], "size": [n * c for n, c in zip(grid, (256, 256, 512), strict=True)]}],
    }
    geometry = GraphGeometry.from_info(info)
    return IngestService(Datasets({DATASET: dataset}), lambda _: geometry, store, queue, Settings.leaf_chunks, clock)
