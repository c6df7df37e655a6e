"""What an operator is answered, in JSON's types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from shared.documents.timestamp import format_utc
from shared.ingest.audit import COUNTED, DIFFERING_IN, AuditOptions
from shared.ingest.control.audits import AuditPlan
from shared.ingest.control.chunk_map import SEEN, ChunkMap, Projection
from shared.ingest.control.coverage import Coverage
from shared.ingest.control.failures import FailedPage
from shared.ingest.control.files_plan import FilesPlan
from shared.ingest.control.overview import DatasetRuns
from shared.ingest.control.pace import Pace
from shared.ingest.control.plan import Plan
from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.control.service import UnreadableRun
from shared.ingest.export import BYTES, EXPORT_COUNTS, FILES, ExportOptions, ImportOptions, others_of
from shared.ingest.kind import RunKind
from shared.ingest.progress import RunStatus
from shared.ingest.run import Run

SHOWN_REASONS = 10
"""Reasons may name chunks, so that there are as many as chunks: the most frequent ones are answered."""

SHOWN_ROWS = 100
"""Of the rows that an audit found to differ; the log has all of them."""


def status(status: RunStatus) -> dict[str, Any]:
    """How far a run is."""
    left_s = status.time_left_s
    return {
        **_run(status.run),
        "started": format_utc(datetime.fromtimestamp(status.run.started_s, UTC)),
        "generation": status.run.generation,
        "state": status.state.value,
        "finished": status.finished,
        "total_chunks": status.total_chunks,
        "completed_chunks": status.completed_chunks,
        "failed_chunks": status.failed_chunks,
        "rows": status.rows,
        "foreign_supervoxels": status.foreign_supervoxels,
        "chunks_per_s": round(status.chunks_per_s, 3),
        "time_left_s": None if left_s is None else round(left_s),
        **_OF_KIND[status.run.kind](status),
    }


def retrying(status: RunStatus) -> dict[str, Any]:
    """What failed in an earlier generation of a run and is being tried again, for whom asks for it with the status."""
    frequent = sorted(status.retrying.items(), key=lambda entry: -entry[1])[:SHOWN_REASONS]
    return {
        "retrying_chunks": sum(status.retrying.values()),
        "retrying": [{"reason": reason, "chunks": chunks} for reason, chunks in frequent],
    }


def unreadable(run: UnreadableRun) -> dict[str, Any]:
    """A run whose mark cannot be read."""
    return {"run_id": run.run_id, "state": "unreadable", "reason": run.reason}


def dismissed(run: UnreadableRun) -> dict[str, Any]:
    """A run that was dismissed because its mark cannot be read."""
    return {"run_id": run.run_id, "state": "dismissed", "reason": run.reason}


def failed(page: FailedPage) -> dict[str, Any]:
    """Failed chunks, and what asks for the following ones."""
    return {"failed": [{"chunk": list(one.chunk), "reason": one.reason} for one in page.chunks], "next": page.next}


def plan(plan: Plan) -> dict[str, Any]:
    """What an ingest will take."""
    cost = {name: round(value, 2) for name, value in asdict(plan.cost).items()}
    return {
        **_run(plan.run),
        **_work(plan),
        "table_bytes": plan.table_bytes,
        "table_nodes": plan.bigtable_nodes,
        "rates": {
            "core_s_per_chunk": round(plan.rates.core_s_per_chunk, 4),
            "rows_per_chunk": round(plan.rates.rows_per_chunk, 1),
            "origin": plan.rates.origin,
        },
        "cost_usd": {**cost, "total": round(sum(asdict(plan.cost).values()), 2), "prices_of": plan.prices.valid},
        "cost_beside_usd": {name: round(value, 2) for name, value in asdict(plan.beside).items()},
    }


def audit_plan(plan: AuditPlan) -> dict[str, Any]:
    """What an audit will take."""
    cost = {name: round(value, 2) for name, value in plan.cost_usd.items()}
    return {
        **_run(plan.run),
        "kind": plan.run.kind.value,
        **_work(plan),
        "cost_usd": {**cost, "total": round(sum(plan.cost_usd.values()), 2), "prices_of": LIST_PRICES.valid},
    }


def files_plan(plan: FilesPlan) -> dict[str, Any]:
    """What an export or an import will take."""
    cost = {name: round(value, 2) for name, value in plan.cost_usd.items()}
    return {
        **_run(plan.run),
        "kind": plan.run.kind.value,
        **_work(plan),
        "files_bytes": plan.n_bytes,
        "table_nodes": plan.bigtable_nodes,
        "cost_usd": {**cost, "total": round(sum(plan.cost_usd.values()), 2), "prices_of": LIST_PRICES.valid},
    }


def _work(plan: Plan | AuditPlan | FilesPlan) -> dict[str, Any]:
    """Tasks, time and rows of a run that is planned, of whatever kind."""
    return {
        "total_chunks": plan.run.block.volume,
        "leaf_tasks": plan.tasks.leaves,
        "expand_tasks": list(plan.tasks.expand),
        "chunks_per_leaf_at_most": plan.run.leaf_chunks,
        "queues": plan.queues,
        "concurrency": plan.concurrency,
        "core_hours": round(plan.core_hours, 3),
        "wall_hours": round(plan.wall_hours, 3),
        "rows": plan.rows,
    }


def coverage(coverage: Coverage, *, is_paged: bool) -> dict[str, Any]:
    """What an audit has found, by blocks of chunks; with `next` if it is a page that was asked for."""
    blocks = [
        {"start": block.start, "stop": block.stop, "chunks": chunks, **{name: counts.get(name, 0) for name in COUNTED}}
        for block, chunks, counts in coverage.blocks
    ]
    return {**status(coverage.status), "blocks": blocks, **({"next": coverage.next} if is_paged else {})}


def overview(datasets: Iterable[DatasetRuns]) -> dict[str, Any]:
    """All datasets with their newest runs."""
    return {
        "datasets": [
            {
                "dataset": one.dataset.graph_id,
                "table": one.dataset.l2cache_id,
                "has_table": one.has_table,
                "runs": [status(run) for run in one.runs],
                "older_runs": one.older,
                "unreadable": [unreadable(run) for run in one.unreadable],
            }
            for one in datasets
        ]
    }


def chunk_map(chunk_map: ChunkMap) -> dict[str, Any]:
    """A run's chunks, seen along each axis."""
    return {
        **_run(chunk_map.run),
        "cell_chunks": chunk_map.cell_chunks,
        "cells": chunk_map.cells,
        "along": {axis: _projection(axis, seen) for axis, seen in chunk_map.along.items()},
    }


def pace(pace: Pace) -> dict[str, Any]:
    """How fast a run was over time."""
    return {
        **_run(pace.run),
        "generation": pace.generation,
        "start": format_utc(datetime.fromtimestamp(pace.start_s, UTC)),
        "step_s": round(pace.step_s, 3),
        "chunks_per_s": [round(rate, 3) for rate in pace.chunks_per_s.tolist()],
    }


def _projection(axis: str, seen: Projection) -> dict[str, Any]:
    right, down = SEEN[axis]
    return {
        "columns": right,
        "rows": down,
        "done": seen.done.tolist(),
        "failed": seen.failed.tolist(),
        "open": seen.open.tolist(),
        "missing": seen.missing.round(2).tolist(),
    }


def _audit(status: RunStatus) -> dict[str, Any]:
    options, counts = AuditOptions.of(status.run), status.counts
    attributes = {
        name.removeprefix(DIFFERING_IN): count for name, count in counts.items() if name.startswith(DIFFERING_IN)
    }
    return {
        "kind": status.run.kind.value,
        "repair": options.repair,
        "verify": options.verify,
        "audit": {
            **{name: counts.get(name, 0) for name in COUNTED},
            "differing_attributes": attributes,
            "differing_rows": list(status.notes[:SHOWN_ROWS]),
        },
    }


def _export(status: RunStatus) -> dict[str, Any]:
    options, counts = ExportOptions.of(status.run), status.counts
    return {
        "kind": status.run.kind.value,
        **options.document(),
        "export": {
            **{name: counts.get(name, 0) for name in EXPORT_COUNTS},
            "other_cells": others_of(counts),
        },
    }


def _import(status: RunStatus) -> dict[str, Any]:
    counts = {name: status.counts.get(name, 0) for name in (FILES, BYTES)}
    return {"kind": status.run.kind.value, "source": ImportOptions.of(status.run).source, "import": counts}


_OF_KIND: Mapping[RunKind, Callable[[RunStatus], dict[str, Any]]] = {
    RunKind.INGEST: lambda _: {},
    RunKind.AUDIT: _audit,
    RunKind.EXPORT: _export,
    RunKind.IMPORT: _import,
}


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "dataset": run.graph_id,
        "table": run.table_id,
        "timestamp": format_utc(run.timestamp),
        "chunks": {"start": run.block.start, "stop": run.block.stop},
    }
