"""How long `status` and `map` take for ten million chunks: `python -m tests.bench.bench_ingest_status`.

All marks of a simulated ingest of minnie65's grid are written to a SQLite file and to Google's Bigtable emulator; then
the ingest service is asked for the status, and for the map of all chunks, with the marks read anew each time.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from infra.local.emulators import bigtable_emulator
from infra.measurements.goals import at_most
from infra.measurements.record import measuring, record_option
from infra.simulation.ingest import DATASET, MOMENT, TABLE, SimulatedIngest, simulated_service
from infra.simulation.world import Cloud, RecordedQueue
from shared.ingest.control.operations import Operations
from shared.store.open import open_store
from shared.store.protocol import CacheStore, TableMeta

GRID = (752, 512, 26)
GOAL_MAP_S = 1.0


def all_marks() -> dict[str, bytes]:
    """The marks of an ingest that is finished."""
    logging.getLogger("l2cache").setLevel(logging.CRITICAL)
    simulated = SimulatedIngest(GRID, Cloud())
    simulated.run()
    return simulated.marks.read_marks(TABLE, "")


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
    """Prints a line for each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    record_option(parser)
    options = parser.parse_args()
    marks = all_marks()
    with (
        tempfile.TemporaryDirectory() as folder,
        stores(Path(folder)) as opened,
        measuring("ingest_status", record=options.record) as table,
    ):
        for name, store in opened.items():
            store.create_table(TABLE, TableMeta(DATASET, "graphene://server", MOMENT))
            store.write_marks(TABLE, marks)
            ingest = simulated_service(GRID, RecordedQueue(), store, time.time)
            status = ingest.status(DATASET)
            if not status.finished:
                raise AssertionError(f"the marks are not those of a finished run: {status}")
            read_s = median_s(lambda store=store: store.read_marks(TABLE, "done/"), options.rounds)
            whole_s = median_s(lambda ingest=ingest: ingest.status(DATASET), options.rounds)
            map_s = median_s(lambda ingest=ingest: Operations(ingest).run("map", {"dataset": DATASET}), options.rounds)
            measured = {"status_s": whole_s, "map_s": map_s, "read_s": read_s}
            table.add(store=name, chunks=status.total_chunks, marks=len(marks), **measured)
            at_most(f"map of {status.total_chunks:,} chunks, {name}", map_s, GOAL_MAP_S, "s")


if __name__ == "__main__":
    main()
