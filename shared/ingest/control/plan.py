"""What an ingest will take: tasks, time, storage and money, before it is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from shared.errors import TableNotFoundError
from shared.geometry.grid import Box, as_triple
from shared.ingest.blocks import children
from shared.ingest.control.prices import LIST_PRICES, Prices
from shared.ingest.control.rates import (
    ALERTS,
    LEAF_MEMORY_GIB,
    LOG_BYTES_PER_TASK,
    READ_BYTES_PER_VOXEL,
    ROW_BYTES,
    ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S,
    Rates,
    default_rates,
)
from shared.types import Triple

if TYPE_CHECKING:
    from shared.ingest.ledger import Ledger
    from shared.ingest.progress import Piece
    from shared.ingest.run import Run

DISPATCHES_PER_S = 500
"""Tasks that a queue of Cloud Tasks hands out a second."""

RATED_CHUNKS = 8
"""So many chunks of earlier runs tell more of a volume than measurements of another."""


@dataclass(frozen=True)
class TaskCounts:
    """Tasks of a run.

    Attributes:
      expand: expand tasks by level of the tree, the root first.
      leaves: leaf tasks.
    """

    expand: tuple[int, ...]
    leaves: int

    @property
    def all(self) -> int:
        """How many there are."""
        return sum(self.expand) + self.leaves


@dataclass(frozen=True)
class LeafWork:
    """What the leaves of a run take, whatever they do with their chunks.

    Attributes:
      tasks: of the run.
      worker_s: seconds of all leaves.
      wall_s: from start to end.
    """

    tasks: TaskCounts
    worker_s: float
    wall_s: float

    @classmethod
    def of(cls, run: Run, worker_s: float, queues: int, concurrency: int) -> LeafWork:
        """The work of a run whose tasks are spread over some queues, so many leaves at a time."""
        tasks = task_counts(run)
        # The last leaf to start begins when the others of its round end.
        wall_s = max(
            worker_s / min(concurrency, tasks.leaves) + worker_s / tasks.leaves,
            tasks.leaves / (DISPATCHES_PER_S * queues),
        )
        return cls(tasks, worker_s, wall_s)

    def compute_usd(self, prices: Prices) -> float:
        """VCPU and memory of the leaves."""
        return self.worker_s * (prices.vcpu_s + LEAF_MEMORY_GIB * prices.memory_gib_s)

    def requests_usd(self, prices: Prices) -> float:
        """Tasks and calls of functions."""
        return self.tasks.all * (2 * prices.million_tasks + prices.million_requests) / 1e6

    def table_nodes_usd(self, bigtable_nodes: int, prices: Prices) -> float:
        """Bigtable nodes for as long as the run lasts, at least an hour."""
        return bigtable_nodes * max(1.0, self.wall_s / 3600) * prices.table_node_hour

    def logging_usd(self, prices: Prices) -> float:
        """Records of the run."""
        return self.tasks.all * LOG_BYTES_PER_TASK / 2**30 * prices.log_gib


@dataclass(frozen=True)
class Cost:
    """US dollars.

    Attributes:
      compute: vCPU and memory of the leaves.
      requests: tasks and calls of functions.
      reads: reads of the volume's files.
      table_nodes: Bigtable nodes for as long as the run lasts.
      table_month: storing the rows for a month.
      logging: records of the run.
    """

    compute: float
    requests: float
    reads: float
    table_nodes: float
    table_month: float
    logging: float


@dataclass(frozen=True)
class CostBeside:
    """US dollars that are no part of what the run costs, or only in some deployments.

    Attributes:
      reads_across_regions: reading the volume if it is in another region than the functions.
      alerts_month: the deployment's alerts for a month, whether anything runs or not.
    """

    reads_across_regions: float
    alerts_month: float


@dataclass(frozen=True)
class Plan:
    """What an ingest will take.

    Attributes:
      run: the run that would be started.
      tasks: its tasks.
      queues: how many queues they are spread over.
      concurrency: leaf tasks at a time.
      rates: what the estimates rest on.
      core_hours: of all leaves.
      wall_hours: from start to end at that concurrency.
      rows: of the cache table.
      table_bytes: of these rows.
      bigtable_nodes: Bigtable nodes that such a rate of writing needs.
      cost: what it will cost.
      beside: what may come on top.
      prices: at which prices.
    """

    run: Run
    tasks: TaskCounts
    queues: int
    concurrency: int
    rates: Rates
    core_hours: float
    wall_hours: float
    rows: int
    table_bytes: int
    bigtable_nodes: int
    cost: Cost
    beside: CostBeside
    prices: Prices


def make_plan(
    run: Run, chunk_size_voxels: Triple, ledger: Ledger, queues: int, concurrency: int, prices: Prices = LIST_PRICES
) -> Plan:
    """What a run will take.

    Args:
      run: the run.
      chunk_size_voxels: full size of a chunk.
      ledger: of the run's table, whose earlier runs tell how fast chunks go.
      queues: how many queues the tasks are spread over.
      concurrency: leaf tasks at a time.
      prices: what things cost.
    """
    rates = rates_of_earlier_runs(ledger) or default_rates(prod(chunk_size_voxels))
    chunks = run.block.volume
    work = LeafWork.of(run, chunks * rates.core_s_per_chunk, queues, concurrency)
    rows = round(chunks * rates.rows_per_chunk)
    bigtable_nodes = max(1, round(rows / work.wall_s / ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S + 0.5))
    cost = Cost(
        compute=work.compute_usd(prices),
        requests=work.requests_usd(prices),
        reads=chunks * rates.files_per_chunk(chunk_size_voxels) * prices.million_file_reads / 1e6,
        table_nodes=work.table_nodes_usd(bigtable_nodes, prices),
        table_month=rows * ROW_BYTES / 2**30 * prices.table_gib_month,
        logging=work.logging_usd(prices),
    )
    read_gib = chunks * prod(chunk_size_voxels) * READ_BYTES_PER_VOXEL / 2**30
    return Plan(
        run=run,
        tasks=work.tasks,
        queues=queues,
        concurrency=concurrency,
        rates=rates,
        core_hours=work.worker_s / 3600,
        wall_hours=work.wall_s / 3600,
        rows=rows,
        table_bytes=rows * ROW_BYTES,
        bigtable_nodes=bigtable_nodes,
        cost=cost,
        beside=CostBeside(read_gib * prices.region_gib, ALERTS * prices.alert_month),
        prices=prices,
    )


def task_counts(run: Run) -> TaskCounts:
    """The tasks of a run, counted over the same blocks that its expand tasks will make."""
    by_depth = _counts(_shape_and_place(run.block, run.chunks_per_file), run.chunks_per_file, run.leaf_chunks)
    depth = max(level for level, _ in by_depth)
    leaves = sum(number for (_, is_leaf), number in by_depth.items() if is_leaf)
    expand = tuple(by_depth.get((level, False), 0) for level in range(depth + 1))
    return TaskCounts(tuple(number for number in expand if number), leaves)


def rates_of_earlier_runs(ledger: Ledger) -> Rates | None:
    """How chunks of the table went in its newest run in which enough did; None if there is none, or no table."""
    try:
        for run in reversed(ledger.known().readable):
            rates = _rates(piece for block in ledger.pieces(run).values() for piece in block)
            if rates is not None:
                return rates
    except TableNotFoundError:
        pass
    return None


def _rates(pieces: Iterable[Piece]) -> Rates | None:
    whole = [piece for piece in pieces if piece.is_whole]
    chunks = sum(piece.stop - piece.first for piece in whole)
    if chunks < RATED_CHUNKS:
        return None
    busy_s, rows = sum(piece.busy_s for piece in whole), sum(piece.rows for piece in whole)
    return Rates(busy_s / chunks, rows / chunks, f"{chunks} chunks of this table that are done")


def _shape_and_place(block: Box, chunks_per_file: Triple) -> tuple[Triple, Triple]:
    """All that the cutting of a block depends on: blocks that agree in it have trees of the same form."""
    return block.shape, as_triple(start % size for start, size in zip(block.start, chunks_per_file, strict=True))


@lru_cache(maxsize=4096)
def _counts(form: tuple[Triple, Triple], chunks_per_file: Triple, leaf_chunks: int) -> Counter[tuple[int, bool]]:
    """How many blocks of the tree below (and including) a block lie how deep, leaves and others."""
    shape, start = form
    block = Box(start, as_triple(a + b for a, b in zip(start, shape, strict=True)))
    if block.volume <= leaf_chunks:
        return Counter({(0, True): 1})
    forms = Counter(_shape_and_place(child, chunks_per_file) for child in children(block, leaf_chunks, chunks_per_file))
    below: Counter[tuple[int, bool]] = Counter({(0, False): 1})
    for child, times in forms.items():
        for (level, is_leaf), number in _counts(child, chunks_per_file, leaf_chunks).items():
            below[level + 1, is_leaf] += times * number
    return below
