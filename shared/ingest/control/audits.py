"""Audits: how complete a cache table is, whoever wrote it, and what one takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from shared.errors import RunConflictError
from shared.ingest.audit import AuditOptions
from shared.ingest.blocks import leaf_size
from shared.ingest.control.counting import count_rows
from shared.ingest.control.fields import Field, Kind, Values
from shared.ingest.control.plan import LeafWork, TaskCounts
from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.control.rates import (
    AUDIT_CORE_S_PER_CHUNK,
    AUDIT_CORE_S_PER_ROW,
    ROWS_READ_PER_BIGTABLE_NODE_AND_S,
    default_rates,
)
from shared.ingest.control.request import StartRequest
from shared.ingest.kind import RunKind
from shared.ingest.progress import RunStatus
from shared.ingest.run import MOST_LEAF_CHUNKS, Run

if TYPE_CHECKING:
    from shared.config.datasets import Dataset
    from shared.geometry.grid import GraphGeometry
    from shared.ingest.control.service import IngestService

AUDIT_FIELDS = (
    Field("repair", Kind.FLAG, "Compute the rows that are missing, and only these.", default=False),
    Field("verify", Kind.WHOLE, "Compute about so many rows anew, and compare.", default=0, least=0, most=10**9),
)

AUDITED_TOGETHER = 16
"""Chunks whose ids are asked for together: no voxels come with them."""


@dataclass(frozen=True)
class AuditRequest:
    """An audit to start.

    Attributes:
      scope: dataset, moment and chunks.
      repair: whether missing rows are computed.
      verify: about how many rows are computed anew and compared.
    """

    scope: StartRequest
    repair: bool = False
    verify: int = 0

    @classmethod
    def from_values(cls, values: Values) -> AuditRequest:
        """The request that fields' values make; without a timestamp it is of the present moment."""
        timestamp = values["timestamp"] or values.now.replace(microsecond=0)
        box, unit, test = values["bounding_box"], values["unit"], values["test"]
        scope = StartRequest(values["dataset"], timestamp, box, unit, test, create=False)
        return cls(scope, values["repair"], values["verify"])


@dataclass(frozen=True)
class AuditPlan:
    """What an audit will take, but for what it repairs.

    Attributes:
      run: the run that would be started.
      tasks: its tasks.
      queues: how many queues they are spread over.
      concurrency: leaf tasks at a time.
      core_hours: of all leaves.
      wall_hours: from start to end at that concurrency.
      rows: that it reads, about.
      cost_usd: by what it is for.
    """

    run: Run
    tasks: TaskCounts
    queues: int
    concurrency: int
    core_hours: float
    wall_hours: float
    rows: int
    cost_usd: Mapping[str, float]


def start_audit(service: IngestService, request: AuditRequest) -> RunStatus:
    """Starts an audit. Nothing is written to rows, unless it repairs.

    Raises:
      UnknownDatasetError: if the dataset is not configured.
      BadRequestError: if the bounding box holds nothing of the volume.
      TableNotFoundError: if there is no table.
      RunConflictError: if an audit of the table is going on, or the table belongs to another graph.
    """
    dataset = service.datasets.get(request.scope.dataset)
    graph_id = service.store.read_meta(dataset.l2cache_id).graph_id
    if graph_id != dataset.graph_id:
        raise RunConflictError(f"table {dataset.l2cache_id} belongs to graph {graph_id}, not to {dataset.graph_id}")
    geometry = service.geometry(dataset)
    run = _new_run(service, request, dataset, geometry)
    if request.verify:
        rows = count_rows(service, run, geometry)
        run = replace(run, options=AuditOptions(request.repair, request.verify, rows).document())
    return service.begin(run)


def plan_audit(service: IngestService, request: AuditRequest, concurrency: int) -> AuditPlan:
    """What an audit would take and cost, but for what it repairs; nothing is started.

    Raises:
      UnknownDatasetError: if the dataset is not configured.
      BadRequestError: if the bounding box holds nothing of the volume.
    """
    dataset = service.datasets.get(request.scope.dataset)
    geometry = service.geometry(dataset)
    run = _new_run(service, request, dataset, geometry)
    chunks, prices = run.block.volume, LIST_PRICES
    rates = default_rates(prod(geometry.chunk_size_voxels))
    # Several of the rows may be in one chunk, which is read once for them.
    computed = chunks * -math.expm1(-request.verify / chunks)
    worker_s = chunks * _chunk_s(geometry) + computed * rates.core_s_per_chunk
    work = LeafWork.of(run, worker_s, service.n_queues, concurrency)
    rows = round(chunks * rates.rows_per_chunk)
    bigtable_nodes = math.ceil(rows / work.wall_s / ROWS_READ_PER_BIGTABLE_NODE_AND_S)
    cost_usd = {
        "compute": work.compute_usd(prices),
        "requests": work.requests_usd(prices),
        "reads": computed * rates.files_per_chunk(geometry.chunk_size_voxels) * prices.million_file_reads / 1e6,
        "table_nodes": work.table_nodes_usd(bigtable_nodes, prices),
        "logging": work.logging_usd(prices),
    }
    core_hours, wall_hours = worker_s / 3600, work.wall_s / 3600
    return AuditPlan(run, work.tasks, service.n_queues, concurrency, core_hours, wall_hours, rows, cost_usd)


def _new_run(service: IngestService, request: AuditRequest, dataset: Dataset, geometry: GraphGeometry) -> Run:
    block = request.scope.block(geometry)
    return Run(
        graph_id=dataset.graph_id,
        table_id=dataset.l2cache_id,
        timestamp=request.scope.timestamp,
        block=block,
        leaf_chunks=leaf_size(block.volume, min(service.leaf_chunks, MOST_LEAF_CHUNKS), _chunk_s(geometry)),
        started_s=service.clock(),
        chunks_per_file=geometry.chunks_per_file,
        batch_chunks=AUDITED_TOGETHER,
        kind=RunKind.AUDIT,
        options=AuditOptions(request.repair, request.verify).document(),
    )


def _chunk_s(geometry: GraphGeometry) -> float:
    rows = default_rates(prod(geometry.chunk_size_voxels)).rows_per_chunk
    return AUDIT_CORE_S_PER_CHUNK + AUDIT_CORE_S_PER_ROW * rows
