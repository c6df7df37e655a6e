"""What an export or an import will take and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shared.ingest.control.plan import LeafWork, TaskCounts
from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.control.rates import (
    EXPORT_BYTES_PER_ROW,
    EXPORT_CORE_S_PER_ROW,
    IMPORT_CORE_S_PER_ROW,
    ROW_BYTES,
    ROWS_READ_PER_BIGTABLE_NODE_AND_S,
    ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S,
)
from shared.ingest.kind import RunKind
from shared.ingest.run import Run


@dataclass(frozen=True)
class FilesPlan:
    """What an export or an import will take.

    Attributes:
      run: the run that would be started.
      tasks: its tasks; a leaf has a file.
      queues: how many queues they are spread over.
      concurrency: leaf tasks at a time.
      core_hours: of all leaves.
      wall_hours: from start to end at that concurrency.
      rows: about how many.
      n_bytes: of the files, about.
      bigtable_nodes: that such a rate needs.
      cost_usd: by what it is for.
    """

    run: Run
    tasks: TaskCounts
    queues: int
    concurrency: int
    core_hours: float
    wall_hours: float
    rows: int
    n_bytes: int
    bigtable_nodes: int
    cost_usd: Mapping[str, float]


def make_files_plan(run: Run, rows: int, queues: int, concurrency: int, n_bytes: int | None = None) -> FilesPlan:
    """What an export or an import will take.

    Args:
      run: the run.
      rows: about how many rows it has.
      queues: how many queues the tasks are spread over.
      concurrency: leaf tasks at a time.
      n_bytes: of the files, if they are there.
    """
    is_export, prices = run.kind is RunKind.EXPORT, LIST_PRICES
    worker_s = rows * (EXPORT_CORE_S_PER_ROW if is_export else IMPORT_CORE_S_PER_ROW)
    work = LeafWork.of(run, worker_s, queues, concurrency)
    n_bytes = rows * EXPORT_BYTES_PER_ROW if n_bytes is None else n_bytes
    per_node = ROWS_READ_PER_BIGTABLE_NODE_AND_S if is_export else ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S
    bigtable_nodes = max(1, math.ceil(rows / work.wall_s / per_node))
    file_price = prices.million_file_writes if is_export else prices.million_file_reads
    kept = (
        {"files_month": n_bytes / 2**30 * prices.files_gib_month}
        if is_export
        else {"table_month": rows * ROW_BYTES / 2**30 * prices.table_gib_month}
    )
    cost_usd = {
        "compute": work.compute_usd(prices),
        "requests": work.requests_usd(prices),
        "files": work.tasks.leaves * file_price / 1e6,
        "table_nodes": work.table_nodes_usd(bigtable_nodes, prices),
        **kept,
        "logging": work.logging_usd(prices),
    }
    core_hours, wall_hours = worker_s / 3600, work.wall_s / 3600
    return FilesPlan(
        run, work.tasks, queues, concurrency, core_hours, wall_hours, rows, n_bytes, bigtable_nodes, cost_usd
    )
