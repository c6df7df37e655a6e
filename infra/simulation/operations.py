"""Audits, exports and imports beside their plans: `python -m infra.simulation.operations [--record]`."""

from __future__ import annotations

import logging

import click

from infra.measurements.record import measuring
from infra.simulation.runs import operation_runs
from infra.simulation.world import Cloud

GRID = (752, 512, 26)
ROWS = 8_020_000_000


@click.command()
@click.option("--workers", default=Cloud.workers, help="Leaf tasks at a time.")
@click.option("--queues", default=Cloud.queues, help="Queues that tasks are spread over.")
@click.option("--record", is_flag=True, help="Keep the table for docs/performance.md.")
def main(workers: int, queues: int, record: bool) -> None:
    """Simulates an audit, an export and an import of a table of 8 x 10^9 rows, and says what their plans say."""
    logging.getLogger("l2cache").setLevel(logging.CRITICAL)
    with measuring("simulated_operations", record=record) as table:
        for kind, (done, planned) in operation_runs(GRID, ROWS, Cloud(workers, queues=queues)).items():
            table.add(
                operation=kind.value,
                rows=done.rows,
                planned_rows=planned.rows,
                workers=workers,
                leaf_tasks=done.leaves,
                core_h=done.core_hours,
                planned_core_h=planned.core_hours,
                wall_min=60 * done.wall_hours,
                planned_wall_min=60 * planned.wall_hours,
                usd=done.usd,
                planned_usd=planned.usd,
            )


if __name__ == "__main__":
    main()
