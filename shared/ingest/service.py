"""The ingest service: starts runs, expands their tasks, tells how far they are."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import RunConflictError, UnknownRunError
from shared.ingest.blocks import children
from shared.ingest.request import StartRequest
from shared.ingest.run import Run, RunStatus
from shared.ingest.task import BlockTask
from shared.log import event, get_logger
from shared.store import TableMeta

if TYPE_CHECKING:
    from shared.datasets import Dataset, Datasets
    from shared.geometry import GraphGeometry
    from shared.store import CacheStore
    from shared.tasks import TaskQueue

_LOG = get_logger("ingest")
LEAVES_AT_LEAST = 64


@dataclass(frozen=True)
class IngestService:
    """Operations on ingest runs.

    Attributes:
      datasets: what is configured.
      geometry: gives a dataset's geometry.
      store: the cache tables, with the runs' marks.
      queue: where tasks go.
      leaf_chunks: most chunks in a leaf task of a new run.
      clock: Unix time.
    """

    datasets: Datasets
    geometry: Callable[[Dataset], GraphGeometry]
    store: CacheStore
    queue: TaskQueue
    leaf_chunks: int
    clock: Callable[[], float] = time.time

    def start(self, request: StartRequest) -> RunStatus:
        """Creates the table if there is none, writes the run down and enqueues its first task.

        Starting the same ingest again is harmless: it is the same run, and finished blocks stay finished.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          BadRequestError: if the bounding box holds nothing of the volume.
          RunConflictError: if another run of the table is not finished, or the table belongs to another graph.
        """
        dataset = self.datasets.get(request.dataset)
        block = request.block(self.geometry(dataset))
        table_id = dataset.l2cache_id
        meta = TableMeta(dataset.graph_id, dataset.cv_path, request.timestamp)
        if not self.store.create_table(table_id, meta):
            self._check_table(dataset)
        # Small runs get small leaves, so that all workers have work and progress is seen.
        leaf_chunks = max(1, min(self.leaf_chunks, block.volume // LEAVES_AT_LEAST))
        run = Run(dataset.graph_id, table_id, request.timestamp, block, leaf_chunks, self.clock())
        known = {other.run_id: other for other in self.runs(request.dataset)}
        for run_id in known:
            if run_id != run.run_id and not self.status(request.dataset, run_id).finished:
                raise RunConflictError(f"run {run_id} of {request.dataset} is not finished")
        run = known.get(run.run_id, run)
        self.store.write_marks(table_id, {run.mark: run.to_json()})
        self.queue.enqueue([BlockTask(run, run.block).to_task()])
        event(_LOG, logging.INFO, "run started", dataset=run.graph_id, run_id=run.run_id, chunks=run.block.volume)
        return self.status(request.dataset, run.run_id)

    def expand(self, body: bytes) -> int:
        """Does an expand task: enqueues the tasks of the blocks below.

        Returns:
          How many tasks were new.

        Raises:
          BadRequestError: if the body is no task.
          StorageUnavailableError: if the queue does not take them; the task is to be delivered again.
        """
        task = BlockTask.from_body(body)
        blocks = children(task.block, task.run.leaf_chunks)
        return self.queue.enqueue([BlockTask(task.run, block).to_task() for block in blocks])

    def runs(self, dataset: str) -> list[Run]:
        """The runs of a dataset, oldest first."""
        marks = self.store.read_marks(self.datasets.get(dataset).l2cache_id, "run/")
        return sorted((Run.from_json(raw) for raw in marks.values()), key=lambda run: run.started_s)

    def status(self, dataset: str, run_id: str | None = None) -> RunStatus:
        """How far a run is; the one started last if none is named.

        Raises:
          UnknownRunError: if there is no such run.
        """
        run = self._run(dataset, run_id)
        failed_chunks = len(self.store.read_marks(run.table_id, run.failed_prefix))
        done = self.store.read_marks(run.table_id, run.done_prefix)
        return RunStatus.from_marks(run, done, failed_chunks, self.clock())

    def failed(self, dataset: str, run_id: str | None = None) -> dict[str, str]:
        """The failed chunks of a run, `x_y_z`, with their reasons."""
        run = self._run(dataset, run_id)
        marks = self.store.read_marks(run.table_id, run.failed_prefix)
        return {key.removeprefix(run.failed_prefix): json.loads(raw)["reason"] for key, raw in marks.items()}

    def _run(self, dataset: str, run_id: str | None) -> Run:
        runs = self.runs(dataset)
        chosen = [run for run in runs if run_id in (None, run.run_id)]
        if not chosen:
            raise UnknownRunError(
                f"dataset {dataset} has no run {run_id}" if run_id else f"dataset {dataset} has no run"
            )
        return chosen[-1]

    def _check_table(self, dataset: Dataset) -> None:
        graph_id = self.store.read_meta(dataset.l2cache_id).graph_id
        if graph_id != dataset.graph_id:
            raise RunConflictError(f"table {dataset.l2cache_id} belongs to graph {graph_id}, not to {dataset.graph_id}")
