"""The ingest service: starts, resumes and cancels runs, expands their tasks, tells how far they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.attributes import ATTRIBUTES, AttributeTable, further_names
from shared.errors import BadRequestError, RunConflictError
from shared.files.open import Folders
from shared.ingest.blocks import block_name, children
from shared.ingest.control.failures import FailedPage, failed_page
from shared.ingest.control.new_run import new_run, provide_table
from shared.ingest.control.plan import Plan, make_plan
from shared.ingest.control.request import StartRequest
from shared.ingest.control.unfinished import with_open_chunks
from shared.ingest.kind import RunKind
from shared.ingest.ledger import KnownRuns, Ledger
from shared.ingest.progress import RunState, RunStatus
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from shared.telemetry.log import event, get_logger

if TYPE_CHECKING:
    from shared.config.datasets import Dataset, Datasets
    from shared.geometry.grid import GraphGeometry
    from shared.store.protocol import CacheStore
    from shared.tasks.protocol import TaskQueue

_logger = get_logger("ingest")


@dataclass(frozen=True)
class UnreadableRun:
    """A run whose mark cannot be read, and why."""

    run_id: str
    reason: str


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
      n_queues: how many queues the tasks are spread over, for plans.
      register: makes a dataset's graph known to CAVE's authentication, where the dataset asks for it.
      attributes: what the rows of new runs have.
      folders: where exports may be.
      rows_per_file: about how many rows a file of an export has at most.
    """

    datasets: Datasets
    geometry: Callable[[Dataset], GraphGeometry]
    store: CacheStore
    queue: TaskQueue
    leaf_chunks: int
    clock: Callable[[], float] = time.time
    n_queues: int = 1
    register: Callable[[Dataset], None] = lambda _: None
    attributes: AttributeTable = ATTRIBUTES
    folders: Folders = Folders()  # noqa: RUF009  # it is frozen
    rows_per_file: int = 500_000

    def plan(self, request: StartRequest, concurrency: int) -> Plan:
        """What a start would do, take and cost; nothing is written.

        The rates are those of the table's own earlier runs if there are any, else measured ones of another volume.

        Args:
          request: what would be started.
          concurrency: leaf tasks at a time.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          BadRequestError: if the bounding box holds nothing of the volume.
        """
        dataset = self.datasets.get(request.dataset)
        geometry = self.geometry(dataset)
        ledger = Ledger(self.store, dataset.l2cache_id)
        run = self._new_run(request, dataset, geometry)
        return make_plan(run, geometry.chunk_size_voxels, ledger, self.n_queues, concurrency)

    def start(self, request: StartRequest) -> RunStatus:
        """Creates the table if there is none, writes the run down and enqueues its first task.

        A graph that is to be registered is registered before anything is asked of it. Starting a finished ingest again
        does nothing. A start that died half-way is completed by the next one.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          BadRequestError: if the bounding box holds nothing of the volume.
          TableNotFoundError: if the table does not exist and is not to be made.
          RunConflictError: if a run of the table is going on or was started at the same moment, if this one was
            cancelled, or if the table belongs to another graph.
          RegistrationRefusedError: if the graph cannot be registered.
        """
        dataset = self.datasets.get(request.dataset)
        self.register(dataset)
        wanted = self._new_run(request, dataset, self.geometry(dataset))
        provide_table(self.store, dataset, request)
        return self.begin(wanted)

    def begin(self, wanted: Run) -> RunStatus:
        """Writes a run down and enqueues its first task; does nothing for one that is finished.

        Runs of other kinds do not matter: what they write are the same rows, and their marks lie elsewhere.

        Raises:
          RunConflictError: if a run of its kind is going on in its table or was started at the same moment, or if this
            one was cancelled.
        """
        ledger = Ledger.of_run(self.store, wanted)
        known = ledger.known()
        self._refuse_beside_others(ledger, known, wanted)
        run = known.find(wanted.run_id)
        status = self.status_of(ledger, run or wanted)
        if run is None:
            self._start_new(ledger, known, wanted)
        elif status.state is RunState.CANCELLED:
            raise RunConflictError(f"run {run.run_id} was cancelled: resume it, or start another")
        elif status.state is RunState.RUNNING:
            self._complete_start(ledger, run)
        return status

    def _start_new(self, ledger: Ledger, known: KnownRuns, run: Run) -> None:
        self._claim(ledger, known, run)
        self._enqueue_first(run)
        event(_logger, logging.INFO, "run started", dataset=run.graph_id, run_id=run.run_id, chunks=run.block.volume)

    def _complete_start(self, ledger: Ledger, run: Run) -> None:
        """Does what a start that died half-way left to be done."""
        ledger.write_run(run)
        self._enqueue_first(run)

    def _enqueue_first(self, run: Run) -> None:
        """Enqueues the first task. Of several that try, the queue tells one that its task is new.

        Raises:
          RunConflictError: if it is not.
        """
        if not self._enqueue_root(run):
            raise RunConflictError(f"run {run.run_id} is going on already: see its status; resume it if it is stuck")

    def run_id(self, request: StartRequest) -> str:
        """Name of the run that a request would start.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          BadRequestError: if the bounding box holds nothing of the volume.
        """
        dataset = self.datasets.get(request.dataset)
        return self._new_run(request, dataset, self.geometry(dataset)).run_id

    def resume(self, dataset: str, run_id: str | None = None) -> RunStatus:
        """Goes on with a cancelled or stuck run, under new names for its tasks; what is done is skipped.

        Raises:
          UnknownRunError: if there is no such run.
          RunConflictError: if another run of the table is going on.
        """
        return self._next_generation(dataset, run_id)

    def retry(self, dataset: str, run_id: str | None = None) -> RunStatus:
        """Does the failed chunks of a finished run again, and only these.

        Raises:
          UnknownRunError: if there is no such run.
          RunConflictError: if this or another run of the table is going on, or this one was cancelled.
        """
        status = self.status(dataset, run_id)
        if not status.finished:
            raise RunConflictError(f"run {status.run.run_id} is {status.state.value}: retry when it is finished")
        return self._next_generation(dataset, run_id, retry_failed=True) if status.failed_chunks else status

    def fill(self, dataset: str, run_id: str | None = None) -> RunStatus:
        """Does the chunks of a finished run again whose rows lack attributes that this version has.

        A run whose rows have all of them stays as it is.

        Raises:
          UnknownRunError: if there is no such run.
          RunConflictError: if this or another run of the table is going on, or this one was cancelled or is no ingest.
        """
        status = self.status(dataset, run_id)
        if status.run.kind is not RunKind.INGEST:
            raise RunConflictError(f"run {status.run.run_id} is no ingest, but of kind {status.run.kind.value}")
        if not status.finished:
            raise RunConflictError(f"run {status.run.run_id} is {status.state.value}: fill when it is finished")
        lacking = [name for name in further_names(self.attributes) if name not in status.run.attributes]
        return self._next_generation(dataset, run_id, further=lacking) if lacking else status

    def cancel(self, dataset: str, run_id: str | None = None) -> RunStatus | UnreadableRun:
        """Stops a run: leaves at work end within seconds, waiting tasks are skipped. What is done stays done.

        A run whose mark cannot be read is dismissed: it is listed no more.

        Raises:
          UnknownRunError: if there is no such run.
        """
        ledger = self.ledger(dataset, run_id)
        unreadable = ledger.known().unreadable
        if run_id is not None and run_id in unreadable:
            ledger.dismiss(run_id, self.clock())
            event(_logger, logging.WARNING, "unreadable run dismissed", dataset=dataset, run_id=run_id)
            return UnreadableRun(run_id, unreadable[run_id])
        run = ledger.find(run_id)
        if self.status_of(ledger, run).state is RunState.RUNNING:
            ledger.cancel(run, self.clock())
            event(_logger, logging.WARNING, "run cancelled", dataset=run.graph_id, run_id=run.run_id)
        return self.status_of(ledger, run)

    def expand(self, body: bytes) -> int:
        """Does an expand task: enqueues the tasks of the blocks below that have open chunks.

        Returns:
          How many tasks were new.

        Raises:
          BadRequestError: if the body is no expand task of a configured table.
          StorageUnavailableError: if the queue does not take them; the task is to be delivered again.
        """
        task = BlockTask.from_body(body)
        if task.is_leaf or not task.run.is_of(self.datasets):
            raise BadRequestError(
                f"no expand task of a configured table: {block_name(task.block)} of {task.run.run_id}"
            )
        run, ledger = task.run, Ledger.of_run(self.store, task.run)
        if not ledger.is_current(run):
            return 0
        blocks = children(task.block, run.leaf_chunks, run.chunks_per_file)
        if run.generation:
            blocks = with_open_chunks(blocks, run, ledger.pieces(run))
        return self.queue.enqueue([BlockTask(run, block).to_task() for block in blocks])

    def runs(self, dataset: str) -> list[RunStatus]:
        """The runs of a dataset and how far they are, of all kinds, oldest first."""
        found = [(ledger, run) for ledger in self.ledgers(dataset) for run in ledger.known().readable]
        return [self.status_of(ledger, run) for ledger, run in sorted(found, key=lambda pair: pair[1].started_s)]

    def unreadable_runs(self, dataset: str) -> list[UnreadableRun]:
        """The runs of a dataset whose marks cannot be read; `cancel` dismisses them."""
        ledgers = self.ledgers(dataset)
        found = [pair for ledger in ledgers for pair in ledger.known().unreadable.items()]
        return [UnreadableRun(run_id, reason) for run_id, reason in found]

    def status(self, dataset: str, run_id: str | None = None) -> RunStatus:
        """How far a run is; the one started last if none is named.

        Raises:
          UnknownRunError: if there is no such run.
        """
        ledger = self.ledger(dataset, run_id)
        return self.status_of(ledger, ledger.find(run_id))

    def failed(self, dataset: str, run_id: str | None = None, limit: int = 1000, after: str = "") -> FailedPage:
        """The failed chunks of a run with their reasons, a page at a time.

        Args:
          dataset: name of the dataset.
          run_id: the run; the one started last if None.
          limit: most chunks in the answer.
          after: `next` of the page before.

        Raises:
          UnknownRunError: if there is no such run.
        """
        ledger = self.ledger(dataset, run_id)
        run = ledger.find(run_id)
        return failed_page(run, ledger.pieces(run), limit, after)

    def _new_run(self, request: StartRequest, dataset: Dataset, geometry: GraphGeometry) -> Run:
        return new_run(request, dataset, geometry, self.leaf_chunks, self.clock(), self.attributes)

    def _next_generation(
        self, dataset: str, run_id: str | None, *, retry_failed: bool = False, further: Sequence[str] = ()
    ) -> RunStatus:
        ledger = self.ledger(dataset, run_id)
        known = ledger.known()
        run = known.find(run_id) or ledger.find(run_id)
        self._refuse_beside_others(ledger, known, run)
        status = self.status_of(ledger, run)
        if status.finished and not (retry_failed or further):
            return status
        run = run.next_generation(self.clock(), retry_failed=retry_failed, further=further)
        self._claim(ledger, known, run)
        self._enqueue_root(run)
        event(_logger, logging.INFO, "run resumed", dataset=dataset, run_id=run.run_id, generation=run.generation)
        return self.status_of(ledger, run)

    def _claim(self, ledger: Ledger, known: KnownRuns, run: Run) -> None:
        if not ledger.claim(run, known):
            raise RunConflictError(
                f"another run of table {run.table_id} was started or resumed at the same moment: see its status"
            )

    def _enqueue_root(self, run: Run) -> int:
        return self.queue.enqueue([BlockTask(run, run.block).to_task()])

    def _refuse_beside_others(self, ledger: Ledger, known: KnownRuns, run: Run) -> None:
        for other in known.perhaps_running:
            if other.run_id != run.run_id and self._is_running(ledger, other):
                raise RunConflictError(f"run {other.run_id} of table {run.table_id} is going on: wait, or cancel it")

    def _is_running(self, ledger: Ledger, run: Run) -> bool:
        # The marks of what is done are many: they are read only if they matter.
        return not ledger.is_cancelled(run) and self.status_of(ledger, run).state is RunState.RUNNING

    def status_of(self, ledger: Ledger, run: Run) -> RunStatus:
        """How far a run is that stands in a ledger."""
        return RunStatus.of_pieces(run, ledger.pieces(run), self.clock(), is_cancelled=ledger.is_cancelled(run))

    def ledger(self, dataset: str, run_id: str | None = None) -> Ledger:
        """Where a run of a dataset is written down; if none is named, the ledger of the ingests.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
        """
        kind = RunKind.INGEST if run_id is None else RunKind.of_run_id(run_id)
        return Ledger(self.store, self.datasets.get(dataset).l2cache_id, kind)

    def ledgers(self, dataset: str) -> list[Ledger]:
        """Where the runs of a dataset are written down: one for each kind.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
        """
        return [Ledger(self.store, self.datasets.get(dataset).l2cache_id, kind) for kind in RunKind]
