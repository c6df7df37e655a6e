"""Prints the table of docs/performance.md: `python -m infra.simulation`."""

from __future__ import annotations

import logging
import time

import click

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
    "1 % of tries and deliveries fail": (0.01, 0.0),
    "1 % of leaves' workers die": (0.0, 0.01),
}
_HEAD = (
    "| chunks | mishaps | leaf tasks | expand tasks | tasks per chunk | last leaf enqueued | idle for want of tasks "
    "| wall time | of the ideal | redelivered | marks | `status` |"
)


def line(mishap: str, outcome: Outcome) -> str:
    """A line of the table."""
    cells = (
        f"{outcome.chunks:,}",
        mishap,
        f"{outcome.leaves:,}",
        f"{outcome.expands:,} ({100 * outcome.overhead_share:.1f} %)",
        f"{outcome.tasks_per_chunk:.4f}",
        f"{outcome.enqueued_s:.1f} s",
        f"{100 * outcome.idle:.2f} %",
        f"{outcome.wall_s:,.0f} s",
        f"{outcome.wall_s / outcome.ideal_s:.3f}",
        f"{outcome.redelivered:,}",
        f"{outcome.marks:,}",
        f"{1000 * outcome.status_s:.0f} ms",
    )
    return f"| {' | '.join(cells)} |"


@click.command()
@click.option("--workers", default=Cloud.workers, help="Leaf tasks at a time.")
@click.option("--queues", default=Cloud.queues, help="Queues that tasks are spread over.")
@click.option("--chunk-s", default=Cloud.chunk_s, help="Mean seconds of a chunk.")
def main(workers: int, queues: int, chunk_s: float) -> None:
    """Simulates ingests of a thousand to ten million chunks, undisturbed and with mishaps."""
    logging.getLogger("l2cache").setLevel(logging.CRITICAL)
    click.echo(_HEAD)
    click.echo("|" + "---|" * (_HEAD.count("|") - 1))
    start_s = time.perf_counter()
    for grid in GRIDS.values():
        for mishap, (failures, deaths) in FAULTS.items():
            cloud = Cloud(workers, queues=queues, chunk_s=chunk_s, failures=failures, deaths=deaths)
            click.echo(line(mishap, SimulatedIngest(grid, cloud).run()))
    click.echo(f"\nsimulated in {time.perf_counter() - start_s:.0f} s", err=True)


if __name__ == "__main__":
    main()
