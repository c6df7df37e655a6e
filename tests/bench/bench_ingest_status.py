"""How long `status` takes for ten million chunks: `python -m tests.bench.bench_ingest_status`.

All marks of an ingest of minnie65's grid are written to a SQLite file and to Google's Bigtable emulator, by the real
planning and naming; then the ingest service is asked for the status, with the marks read anew each time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from infra.local.emulators import bigtable_emulator
from infra.simulation.world import Marks, NotedQueue
from shared.datasets import Dataset, Datasets
from shared.geometry import GraphGeometry
from shared.ingest import IngestService, StartRequest
from shared.ingest.ledger import Ledger
from shared.ingest.progress import Piece
from shared.ingest.task import BlockTask
from shared.settings import Settings
from shared.store import CacheStore, TableMeta, open_store

GRID, CHUNK = (752, 512, 26), (256, 256, 512)
NAME, TABLE = "minnie65", "l2cache_minnie65"
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
NODES_PER_CHUNK = 800


def service(store: CacheStore, queue: NotedQueue) -> IngestService:
    """An ingest service of that grid."""
    geometry = GraphGeometry.from_info(
        {
            "data_dir": "gs://minnie65",
            "graph": {"chunk_size": list(CHUNK), "spatial_bit_masks": {"2": 10}},
            "scales": [{"resolution": [8, 8, 40], "size": [n * c for n, c in zip(GRID, CHUNK, strict=True)]}],
        }
    )
    datasets = Datasets({NAME: Dataset(NAME, f"graphene://https://server/segmentation/table/{NAME}", TABLE)})
    return IngestService(datasets, lambda _: geometry, store, queue, Settings.leaf_chunks)


def all_marks() -> dict[str, bytes]:
    """The marks of an ingest that is finished."""
    marks, queue = Marks(), NotedQueue()
    store = cast(Any, marks)
    ingest = service(store, queue)
    ingest.start(StartRequest(NAME, MOMENT))
    while tasks := [BlockTask.from_body(task.body) for task in queue.take()]:
        for task in tasks:
            if not task.is_leaf:
                ingest.expand(task.to_task().body)
                continue
            chunks = task.block.volume
            done = Piece(0, chunks, NODES_PER_CHUNK * chunks, 0.8 * chunks, time.time())
            Ledger(store, TABLE).add_pieces(task.run, task.block, [done])
    return marks.read_marks(TABLE, "")


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, CacheStore]]:
    """A store of each kind."""
    with bigtable_emulator() as emulator, patch.dict(os.environ, emulator.environment):
        opened = {
            "SQLite file": open_store(f"sqlite:///{folder}/cache.db"),
            "Bigtable emulator": open_store("bigtable://local/local"),
        }
        yield opened
        for store in opened.values():
            store.close()


def median_s(call: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call."""
    seconds = []
    for _ in range(rounds):
        start_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start_s)
    return statistics.median(seconds)


def main() -> None:
    """Prints a line per store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    marks = all_marks()
    with tempfile.TemporaryDirectory() as folder, stores(Path(folder)) as opened:
        for name, store in opened.items():
            store.create_table(TABLE, TableMeta(NAME, "graphene://server", MOMENT))
            store.write_marks(TABLE, marks)
            ingest = service(store, NotedQueue())
            status = ingest.status(NAME)
            if not status.finished:
                raise AssertionError(f"the marks are not those of a finished run: {status}")
            read_s = median_s(lambda store=store: store.read_marks(TABLE, "done/"), rounds)
            whole_s = median_s(lambda ingest=ingest: ingest.status(NAME), rounds)
            print(f"{name}: {status.total_chunks:,} chunks, {len(marks):,} marks: status {whole_s:.2f} s, ", end="")
            print(f"{read_s:.2f} s of it reading", flush=True)


if __name__ == "__main__":
    main()
