"""The compute service: nodes of messages -> rows of the cache table."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from shared.attributes import SIZE
from shared.compute.audit import Auditor
from shared.compute.budget import Budget
from shared.compute.chunk import FilledChunks, LoadedChunk, disjoint_memberships
from shared.compute.computer import ChunkComputer, Source
from shared.compute.export import Exporter
from shared.compute.outcome import ChunkOutcome, NodesOutcome
from shared.compute.states import IdStates
from shared.errors import DeadlineError, L2CacheError, StorageUnavailableError
from shared.features.result import Features
from shared.files.open import Folders
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import is_l2
from shared.once import Once
from shared.store.protocol import UNKNOWN, NodeState
from shared.store.states import remembered_unknown
from shared.telemetry.log import StepTimer, event, get_logger
from shared.types import Triple, UInt64Array

NODES_AT_ONCE = 500
"""So many nodes of a chunk are asked of the graph, computed and written at a time."""

_logger = get_logger("compute")
_NO_IDS = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class _Request:
    """What is asked for: nodes of which dataset, whether an edit names them, and how long it may take."""

    source: Source
    is_edit: bool
    budget: Budget


class NodesIsolation(Protocol):
    """A process of its own for nodes of chunks that may kill the one that computes them."""

    def compute_nodes(self, graph_id: str, l2_ids: UInt64Array, is_edit: bool) -> NodesOutcome:
        """As `ComputeService.compute_nodes`, for nodes of one chunk.

        Raises:
          ChunkFaultError: if the chunk kills its process, or ends it unexpectedly in another way.
        """


@dataclass(frozen=True)
class ComputeService(ChunkComputer):
    """Computes rows of nodes. Doing the same twice, or two at a time, leaves the same rows.

    Attributes:
      budget_s: time after which `compute_nodes` begins nothing further; some nodes of a chunk are computed in any case.
      clock: seconds, ever growing.
      steps: makes the timer of a chunk's steps.
      now_s: Unix time.
      filled: chunks that are known not to be empty.
      folders: where exports may be.
    """

    budget_s: float = 480.0
    clock: Callable[[], float] = time.monotonic
    steps: Callable[[], StepTimer] = StepTimer
    now_s: Callable[[], float] = time.time
    filled: FilledChunks = field(default_factory=FilledChunks)
    folders: Folders = Folders()  # noqa: RUF009  # it is frozen

    @property
    def auditor(self) -> Auditor:
        """Compares rows with the graph."""
        return Auditor(self)

    @property
    def exporter(self) -> Exporter:
        """Makes files of rows, and rows of files."""
        return Exporter(self)

    def compute_nodes(
        self, graph_id: str, l2_ids: UInt64Array, is_edit: bool = False, isolation: NodesIsolation | None = None
    ) -> NodesOutcome:
        """Computes the rows of some nodes, current or superseded, reading each of their chunks once.

        Nodes that have a row are left alone, since a row never changes: so a message that took too long goes on from
        where it stopped when it is delivered again. A chunk that fails does not keep the others from being computed.
        Once `budget_s` is over nothing further is begun, which is one failure, a `DeadlineError`. An id that the graph
        does not know is remembered as such, for all instances, and left alone for `UNKNOWN_FOR_S`. What is begun is
        written down as pending for all instances, but for an edit's ids: nobody has asked for them yet.

        Args:
          graph_id: the dataset.
          l2_ids: uint64[n], any order, duplicates and ids that cannot exist allowed.
          is_edit: whether an edit names them: then they exist, or will in a moment, although they may have been asked
            for before. The graph is asked for remembered ids all the same, and none is remembered as unknown.
          isolation: computes each chunk's nodes elsewhere, if given.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          TableNotFoundError: if its cache table does not exist.
          TransientError: if the graph's geometry or the cache table cannot be read.
          ConfigurationError: if the graph's description cannot be used.
        """
        source = self.source(graph_id)
        request = _Request(source, is_edit, Budget(self.budget_s, self.clock))
        distinct = np.unique(l2_ids)
        possible = source.geometry.can_exist(distinct)
        cached = self.store.read_cells(source.dataset.l2cache_id, distinct[possible], [SIZE.name]).l2_ids
        wanted = np.setdiff1d(distinct[possible], cached, assume_unique=True)
        remembered = _NO_IDS if is_edit else self._remembered(source, wanted)
        wanted = np.setdiff1d(wanted, remembered, assume_unique=True)
        if not is_edit:
            self._states.begin(source.dataset.l2cache_id, wanted)
        chunks: dict[Triple, ChunkOutcome] = {}
        failures: dict[Triple, L2CacheError] = {}
        failed_ids: dict[Triple, UInt64Array] = {}
        groups = source.geometry.group_by_chunk(wanted)
        for number, (coordinate, ids) in enumerate(groups):
            left = f"{len(groups) - number} chunks"
            if isolation is None:
                outcome, error = self._compute_chunk(request, coordinate, ids, left)
            else:
                outcome, error = _compute_elsewhere(isolation, request, coordinate, ids, left)
            if outcome is not None:
                chunks[coordinate] = outcome
            if error is not None:
                failures[coordinate], failed_ids[coordinate] = error, ids
            if isinstance(error, DeadlineError):
                break
        refused = _reasons(distinct[~possible], source.geometry)
        return NodesOutcome(chunks, failures, refused, len(cached), len(remembered), failed_ids)

    @property
    def _states(self) -> IdStates:
        return IdStates(self.store, self.now_s)

    def give_up(self, graph_id: str, l2_ids: UInt64Array, error: L2CacheError) -> None:
        """Has all instances say of ids that they are given up, if they have no row and the graph knows them.

        Args:
          graph_id: the dataset.
          l2_ids: uint64[n], distinct.
          error: why.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
        """
        self._states.give_up(self.datasets.get(graph_id).l2cache_id, l2_ids, error)

    def _remembered(self, source: Source, l2_ids: UInt64Array) -> UInt64Array:
        """Those of some ids that the graph did not know a while ago."""
        if not l2_ids.size:
            return _NO_IDS
        return remembered_unknown(self.store.read_states(source.dataset.l2cache_id, l2_ids), self.now_s())

    def _compute_chunk(
        self, request: _Request, coordinate: Triple, l2_ids: UInt64Array, left: str
    ) -> tuple[ChunkOutcome | None, L2CacheError | None]:
        """Computes and writes the rows of nodes of one chunk in parts, whose voxels are read once at most.

        Returns:
          What came of it, if anything was done; and why the rest, or all of it, was not.
        """
        source, steps = request.source, self.steps()
        parts: list[ChunkOutcome] = []
        loaded = Once(lambda: self.load_chunk(source.dataset.graph_id, coordinate, steps))
        failure: L2CacheError | None = None
        try:
            for start in range(0, len(l2_ids), NODES_AT_ONCE):
                request.budget.begin_part(left)
                some = l2_ids[start : start + NODES_AT_ONCE]
                parts.append(self._compute_some(request, coordinate, some, loaded, steps))
        except StorageUnavailableError:
            raise
        except L2CacheError as error:
            failure = error
        if not parts:
            return None, failure
        return self._logged(source, coordinate, ChunkOutcome.of_parts(parts, steps.milliseconds)), failure

    def _compute_some(
        self,
        request: _Request,
        coordinate: Triple,
        l2_ids: UInt64Array,
        loaded: Once[LoadedChunk],
        steps: StepTimer,
    ) -> ChunkOutcome:
        """Computes and writes the rows of some nodes of one chunk, and remembers those that the graph does not know."""
        source = request.source
        graph_id, table_id = source.dataset.graph_id, source.dataset.l2cache_id
        if not self.filled.has(graph_id, coordinate):
            if loaded().is_empty:
                # Nothing will ever be here, whether the graph knows the ids or not: it need not be asked.
                with steps.step("write"):
                    self.store.write_voxelless(table_id, l2_ids)
                return ChunkOutcome(0, len(l2_ids))
            self.filled.add(graph_id, coordinate)
        with steps.step("map"):
            members = source.graph.supervoxels_of(l2_ids, request.budget.request_timeout_s())
        known = {l2_id: supervoxels for l2_id, supervoxels in members.items() if len(supervoxels)}
        unknown = tuple(l2_id for l2_id in members if l2_id not in known)
        if unknown and not request.is_edit:
            with steps.step("write"):
                self.store.write_states(table_id, dict.fromkeys(unknown, NodeState(UNKNOWN, self.now_s())))
        features, voxelless = Features.empty(), _NO_IDS
        if known:
            features = self.features_of(source, loaded(), disjoint_memberships(known), steps)
            voxelless = np.setdiff1d(np.array(list(known), dtype=np.uint64), features.node_ids)
        self.write_rows(graph_id, [features], steps)
        if len(voxelless):
            with steps.step("write"):
                self.store.write_voxelless(table_id, voxelless)
        return ChunkOutcome(len(features), len(voxelless), unknown)

    def _logged(self, source: Source, coordinate: Triple, outcome: ChunkOutcome) -> ChunkOutcome:
        event(
            _logger,
            logging.INFO,
            "chunk computed",
            dataset=source.dataset.graph_id,
            chunk=coordinate,
            nodes=outcome.n_nodes,
            voxelless=outcome.n_voxelless,
            unknown=len(outcome.unknown_ids),
            **{f"{step}_ms": round(ms, 2) for step, ms in outcome.steps_ms.items()},
        )
        return outcome


def _compute_elsewhere(
    isolation: NodesIsolation, request: _Request, coordinate: Triple, l2_ids: UInt64Array, left: str
) -> tuple[ChunkOutcome | None, L2CacheError | None]:
    """As `ComputeService._compute_chunk`, in a process of its own."""
    try:
        request.budget.begin_part(left)
        outcome = isolation.compute_nodes(request.source.dataset.graph_id, l2_ids, request.is_edit)
    except StorageUnavailableError:
        raise
    except L2CacheError as error:
        return None, error
    return outcome.chunks.get(coordinate), outcome.failures.get(coordinate)


def _reasons(l2_ids: UInt64Array, geometry: GraphGeometry) -> dict[int, str]:
    right_layer = is_l2(l2_ids, geometry.layout)
    return {
        l2_id: "its chunk lies outside the volume" if fits else "not an L2 id"
        for l2_id, fits in zip(l2_ids.tolist(), right_layer.tolist(), strict=True)
    }
