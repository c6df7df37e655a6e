"""A small cache with an ingest service, a leaf service and a real queue between them; the test delivers the tasks."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.errors import TransientError
from shared.files.open import Folders
from shared.geometry.grid import Box
from shared.ingest.control.request import StartRequest
from shared.ingest.control.service import IngestService
from shared.ingest.leaf.service import LeafService
from shared.ingest.run import Run
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Failure, Lease
from shared.tasks.open import open_queue
from shared.types import Triple
from tests.support.graph.small import GEOMETRY, GRAPH_ID, SmallCache

MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
CHUNKS = Box((0, 0, 0), GEOMETRY.grid_shape).volume


class Clock:
    """Unix time that a test moves; threads that sleep at once move it one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now_s += seconds


class Site:
    """A small cache with an ingest service, a leaf service and a queue between them."""

    def __init__(
        self, folder: Path, leaf_chunks: int = 4, budget_s: float = 1000.0, attributes: AttributeTable = ATTRIBUTES
    ) -> None:
        folders = Folders.below(f"file://{folder.resolve()}/exports")
        self.cache = SmallCache(folder, table=False, attributes=attributes, folders=folders)
        self.folder = folder
        self.clock = Clock()
        address = f"sqlite://{folder.resolve()}/queue.db"
        self.queue = open_queue(address)
        self.deliveries = Deliveries(folder / "queue.db")
        self.ingest = IngestService(
            datasets=self.cache.datasets,
            geometry=lambda _: GEOMETRY,
            store=self.cache.store,
            queue=self.queue,
            leaf_chunks=leaf_chunks,
            clock=self.clock,
            attributes=attributes,
            folders=folders,
        )
        self.leaf = LeafService(
            datasets=self.cache.datasets,
            computer=self.cache.service,
            store=self.cache.store,
            queue=self.queue,
            budget_s=budget_s,
            clock=self.clock,
            elapsed=self.clock,
            sleep=self.clock.sleep,
        )
        self.before_leaf: Callable[[Lease], None] = lambda _: None
        for coordinate in ((0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 1, 1)):
            self.cache.graph.add(coordinate, 1, range(1, 6))
            self.cache.graph.add(coordinate, 2, range(6, 12))

    def start(self, **fields: object) -> Run:
        document = {"dataset": GRAPH_ID, "timestamp": "2026-06-01 00:00:00", **fields}
        return self.ingest.start(StartRequest.from_document(document, datetime.now(UTC))).run

    def deliver(self, lease: Lease) -> None:
        if lease.kind == "ingest":
            self.ingest.expand(lease.body)
        else:
            self.before_leaf(lease)
            self.leaf.compute_block(lease.body, lease.attempt)

    def waiting(self) -> int:
        """How many tasks wait."""
        return sum(counts.waiting for counts in self.deliveries.counts().values())

    def drain(self, twice: bool = False) -> None:
        """Delivers until nothing waits; with `twice` each task a second time, at a random later moment."""
        late: list[Lease] = []
        now_s = time.time()
        for _ in range(1000):
            now_s += 100.0
            leases = self.deliveries.lease(3, now_s)
            for lease in leases:
                try:
                    self.deliver(lease)
                    self.deliveries.acknowledge([lease.id])
                except TransientError as error:
                    self.deliveries.retry([Failure(lease.id, str(error))], now_s)
            if twice:
                late.extend(leases)
                random.Random(len(late)).shuffle(late)
                while late and (not leases or len(late) > 4):
                    self.deliver(late.pop())
            if not leases and not self.waiting():
                return
        raise AssertionError("the queue does not run empty")


def failures(site: Site) -> dict[Triple, str]:
    """The failed chunks of the newest run, with their reasons."""
    return {failed.chunk: failed.reason for failed in site.ingest.failed(GRAPH_ID).chunks}
