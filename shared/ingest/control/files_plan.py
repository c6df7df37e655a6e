"""What an export or an import will take and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shared.ingest.control.plan import DISPATCHES_PER_S, TaskCounts, task_counts
from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.control.rates import (
    EXPORT_BYTES_PER_ROW,
    EXPORT_CORE_S_PER_ROW,
    IMPORT_CORE_S_PER_ROW,
    LEAF_MEMORY_GIB,
    LOG_BYTES_PER_TASK,
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
    is_export, tasks, prices = run.kind is RunKind.EXPORT, task_counts(run), LIST_PRICES
    worker_s = rows * (EXPORT_CORE_S_PER_ROW if is_export else IMPORT_CORE_S_PER_ROW)
    wall_s = max(
        worker_s / min(concurrency, tasks.leaves) + worker_s / tasks.leaves,
        tasks.leaves / (DISPATCHES_PER_S * queues),
    )
    n_bytes = rows * EXPORT_BYTES_PER_ROW if n_bytes is None else n_bytes
    per_node = ROWS_READ_PER_BIGTABLE_NODE_AND_S if is_export else ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S
    bigtable_nodes = max(1, math.ceil(rows / wall_s / per_node))
    all_tasks = sum(tasks.expand) + tasks.leaves
    file_price = prices.million_file_writes if is_export else prices.million_file_reads
    kept = (
        {"files_month": n_bytes / 2**30 * prices.files_gib_month}
        if is_export
        else {"table_month": rows * ROW_BYTES / 2**30 * prices.table_gib_month}
    )
    cost_usd = {
        "compute": worker_s * (prices.vcpu_s + LEAF_MEMORY_GIB * prices.memory_gib_s),
        "requests": all_tasks * (2 * prices.million_tasks + prices.million_requests) / 1e6,
        "files": tasks.leaves * file_price / 1e6,
        "table_nodes": bigtable_nodes * max(1.0, wall_s / 3600) * prices.table_node_hour,
        **kept,
        "logging": all_tasks * LOG_BYTES_PER_TASK / 2**30 * prices.log_gib,
    }
    return FilesPlan(
        run, tasks, queues, concurrency, worker_s / 3600, wall_s / 3600, rows, n_bytes, bigtable_nodes, cost_usd
    )
