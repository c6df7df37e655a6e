"""Prints a table of docs/performance.md, and records it for that page: `python -m infra.simulation [--record]`."""

from __future__ import annotations

import logging
import time
from typing import Any

import click

from infra.measurements.record import measuring
from infra.simulation.ingest import Outcome, SimulatedIngest
from infra.simulation.world import Cloud

GRIDS = {
    "10^3": (10, 10, 10),
    "10^4": (32, 32, 10),
    "10^5": (80, 64, 20),
    "10^6": (256, 170, 23),
    "minnie65": (752, 512, 26),
}
FAULTS = {
    "none": (0.0, 0.0),
    "1 % of deliveries fail": (0.01, 0.0),
    "1 % of workers die": (0.0, 0.01),
}
"""Shares of the tries and deliveries that fail, and of the leaves whose worker dies."""


def row(faults: str, outcome: Outcome) -> dict[str, Any]:
    """A row of the table."""
    return {
        "chunks": outcome.chunks,
        "faults": faults,
        "leaf_tasks": outcome.leaves,
        "expand_tasks": outcome.expands,
        "expand_percent": 100 * outcome.overhead_share,
        "tasks_per_chunk": outcome.tasks_per_chunk,
        "enqueued_s": outcome.enqueued_s,
        "idle_percent": 100 * outcome.idle,
        "wall_s": outcome.wall_s,
        "of_ideal": outcome.wall_s / outcome.ideal_s,
        "redelivered": outcome.redelivered,
        "marks": outcome.marks,
        "status_ms": 1000 * outcome.status_s,
    }


@click.command()
@click.option("--workers", default=Cloud.workers, help="Leaf tasks at a time.")
@click.option("--queues", default=Cloud.queues, help="Queues that tasks are spread over.")
@click.option("--chunk-s", default=Cloud.chunk_s, help="Mean seconds of a chunk.")
@click.option("--record", is_flag=True, help="Keep the table for docs/performance.md.")
def main(workers: int, queues: int, chunk_s: float, record: bool) -> None:
    """Simulates ingests of a thousand to ten million chunks, undisturbed and with faults."""
    logging.getLogger("l2cache").setLevel(logging.CRITICAL)
    start_s = time.perf_counter()
    with measuring("simulation", record=record) as table:
        for grid in GRIDS.values():
            for faults, (failures, deaths) in FAULTS.items():
                cloud = Cloud(workers, queues=queues, chunk_s=chunk_s, failures=failures, deaths=deaths)
                table.add(**row(faults, SimulatedIngest(grid, cloud).run()))
    click.echo(f"\nsimulated in {time.perf_counter() - start_s:.0f} s", err=True)


if __name__ == "__main__":
    main()
