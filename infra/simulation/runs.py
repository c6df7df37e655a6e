"""One simulated audit, export or import, beside what its plan says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, cast

from infra.simulation.files import EXPORTS, MemoryFolders
from infra.simulation.ingest import DATASET, MOMENT, SPREAD_OF_BLOCKS, TABLE, SimulatedIngest, simulated_service
from infra.simulation.table import RowCounts, TableOfRows
from infra.simulation.world import Cloud, Marks
from shared.geometry.ids import IdLayout
from shared.ingest.control.audits import AuditPlan, AuditRequest, plan_audit, start_audit
from shared.ingest.control.exports import ExportRequest, plan_export, put_manifest, start_export
from shared.ingest.control.files_plan import FilesPlan
from shared.ingest.control.imports import ImportRequest, plan_import, start_import
from shared.ingest.control.plan import LeafWork, TaskCounts
from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.control.rates import (
    AUDIT_CORE_S_PER_CHUNK,
    AUDIT_CORE_S_PER_ROW,
    EXPORT_BYTES_PER_ROW,
    EXPORT_CORE_S_PER_ROW,
    IMPORT_CORE_S_PER_ROW,
    ROW_BYTES,
    ROWS_READ_PER_BIGTABLE_NODE_AND_S,
    ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S,
)
from shared.ingest.control.request import StartRequest
from shared.ingest.control.service import IngestService
from shared.ingest.export import BYTES, FILES, ExportedFile, file_name
from shared.ingest.kind import RunKind
from shared.ingest.ledger import Ledger
from shared.ingest.progress import Piece, RunStatus
from shared.ingest.task import BlockTask
from shared.store.protocol import TableMeta
from shared.tasks.protocol import Task
from shared.types import Triple

LAYOUT = IdLayout.from_info({"graph": {"spatial_bit_masks": {"2": 12}}})
LEAF_S = 0.05
"""What a leaf takes beside its rows: some short calls of the table for its marks; a file is put or opened."""

FOLDER = f"{EXPORTS}/export"
Plan: TypeAlias = "AuditPlan | FilesPlan"


@dataclass(frozen=True)
class Compared:
    """What an operation took, or what its plan says that it takes.

    Attributes:
      leaves: leaf tasks.
      core_hours: of all leaves.
      wall_hours: from start to end.
      rows: that were read or written.
      cost_usd: by what it is for.
    """

    leaves: int
    core_hours: float
    wall_hours: float
    rows: int
    cost_usd: Mapping[str, float]

    @property
    def usd(self) -> float:
        """All costs."""
        return sum(self.cost_usd.values())

    @classmethod
    def of_plan(cls, plan: Plan) -> Compared:
        """What a plan says."""
        return cls(plan.tasks.leaves, plan.core_hours, plan.wall_hours, plan.rows, plan.cost_usd)


class SimulatedOperation(SimulatedIngest):
    """An audit, an export or an import of a table.

    Args:
      kind: which of them.
      grid: chunks along x, y, z.
      rows: of the table.
      folders: where an export is put, and an import finds it.
      cloud: limits, latencies and faults.
      seed: of all chance.
    """

    def __init__(
        self, kind: RunKind, grid: Triple, rows: RowCounts, folders: MemoryFolders, cloud: Cloud, seed: int = 1
    ) -> None:
        self._kind, self._rows, self._folders = kind, rows, folders
        super().__init__(grid, cloud, seed)

    def compared(self) -> tuple[Compared, Compared]:
        """What it takes when it is done, and what the plan has said before."""
        plan = self._plan()
        outcome = self.run()
        worker_s = outcome.ideal_s * self._cloud.workers
        work = LeafWork(TaskCounts((outcome.expands,), outcome.leaves), worker_s, outcome.wall_s)
        rows = self._rows.total
        done = Compared(outcome.leaves, worker_s / 3600, outcome.wall_s / 3600, rows, self._cost_usd(work, rows))
        return done, Compared.of_plan(plan)

    def put_manifest(self) -> None:
        """Does what the first look at an export does that has ended."""
        status = next(status for status in self._service.runs(DATASET) if status.run.kind is RunKind.EXPORT)
        if put_manifest(self._service, status) is None:
            raise AssertionError(f"the simulated export has no manifest: {status}")

    def _make_marks(self) -> Marks:
        table = TableOfRows(self._rows, LAYOUT)
        table.create_table(TABLE, TableMeta(DATASET, f"graphene://https://server/segmentation/table/{DATASET}", MOMENT))
        return table

    def _make_service(self, grid: Triple) -> IngestService:
        service = simulated_service(grid, self._noted, cast(Any, self.marks), self._timeline)
        return replace(service, folders=self._folders)

    def _plan(self) -> Plan:
        service, workers = self._service, self._cloud.workers
        if self._kind is RunKind.AUDIT:
            return plan_audit(service, self._audit_request, workers)
        if self._kind is RunKind.EXPORT:
            return plan_export(service, self._export_request, workers)
        return plan_import(service, self._import_request, workers)

    def _begin(self) -> RunStatus:
        if self._kind is RunKind.AUDIT:
            return start_audit(self._service, self._audit_request)
        if self._kind is RunKind.EXPORT:
            return start_export(self._service, self._export_request)
        return start_import(self._service, self._import_request)

    @property
    def _audit_request(self) -> AuditRequest:
        return AuditRequest(StartRequest(DATASET, MOMENT, create=False))

    @property
    def _export_request(self) -> ExportRequest:
        return ExportRequest(StartRequest(DATASET, MOMENT, create=False), FOLDER)

    @property
    def _import_request(self) -> ImportRequest:
        return ImportRequest(DATASET, FOLDER, create=False, now=MOMENT)

    def _work(self, queue: Any, task: Task, attempt: int) -> None:
        """What `LeafService` does with a block, with times that follow from its rows."""
        leaf = BlockTask.from_body(task.body)
        rows = self._rows.of(leaf.block)
        factor = self._chance.lognormal(-(SPREAD_OF_BLOCKS**2) / 2, SPREAD_OF_BLOCKS)
        busy_s = LEAF_S + factor * self._core_s(leaf.block.volume, rows)
        if self._chance.random() < self._cloud.deaths:
            dead_s = busy_s * self._chance.random()
            self._work_s += dead_s
            self._timeline.after(dead_s, partial(self._fail, queue, task, attempt))
            return
        self._work_s += busy_s
        self._timeline.after(busy_s, partial(self._finish, queue, task, leaf, rows, busy_s))

    def _finish(self, queue: Any, task: Task, leaf: BlockTask, rows: int, busy_s: float) -> None:
        file = ExportedFile(file_name(leaf.block), rows, rows * EXPORT_BYTES_PER_ROW, "0" * 64)
        counts = {"rows": rows} if self._kind is RunKind.AUDIT else {FILES: 1, BYTES: file.bytes}
        notes = (file.note(),) if self._kind is RunKind.EXPORT else ()
        piece = Piece(0, leaf.block.volume, rows, busy_s, self._timeline.now_s, counts=counts, notes=notes)
        Ledger.of_run(cast(Any, self.marks), leaf.run).add_pieces(leaf.run, leaf.block, [piece])
        self._end(queue, task)

    def _core_s(self, chunks: int, rows: int) -> float:
        if self._kind is RunKind.AUDIT:
            return chunks * AUDIT_CORE_S_PER_CHUNK + rows * AUDIT_CORE_S_PER_ROW
        return rows * (EXPORT_CORE_S_PER_ROW if self._kind is RunKind.EXPORT else IMPORT_CORE_S_PER_ROW)

    def _cost_usd(self, work: LeafWork, rows: int) -> dict[str, float]:
        """List prices of what was used."""
        prices, is_import = LIST_PRICES, self._kind is RunKind.IMPORT
        per_node = ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S if is_import else ROWS_READ_PER_BIGTABLE_NODE_AND_S
        used = {
            "compute": work.compute_usd(prices),
            "requests": work.requests_usd(prices),
            "table_nodes": work.table_nodes_usd(math.ceil(rows / work.wall_s / per_node), prices),
            "logging": work.logging_usd(prices),
        }
        if self._kind is RunKind.EXPORT:
            kept = rows * EXPORT_BYTES_PER_ROW / 2**30 * prices.files_gib_month
            used |= {"files": work.tasks.leaves * prices.million_file_writes / 1e6, "files_month": kept}
        elif is_import:
            kept = rows * ROW_BYTES / 2**30 * prices.table_gib_month
            used |= {"files": work.tasks.leaves * prices.million_file_reads / 1e6, "table_month": kept}
        return used


def operation_runs(grid: Triple, rows: int, cloud: Cloud, seed: int = 1) -> dict[RunKind, tuple[Compared, Compared]]:
    """An audit and an export of a table, and an import of what was exported: what each takes, and what was planned.

    Args:
      grid: chunks along x, y, z.
      rows: of the table, about.
      cloud: limits, latencies and faults.
      seed: of all chance.
    """
    counts, folders = RowCounts(grid, rows, seed), MemoryFolders()
    results = {}
    for kind in (RunKind.AUDIT, RunKind.EXPORT, RunKind.IMPORT):
        simulated = SimulatedOperation(kind, grid, counts, folders, cloud, seed)
        results[kind] = simulated.compared()
        if kind is RunKind.EXPORT:
            simulated.put_manifest()
    return results
