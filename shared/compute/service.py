"""The compute service: nodes or whole chunks -> rows of the cache table."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np

from shared.attributes import ATTRIBUTES, SIZE, AttributeTable
from shared.compute.audit import Auditor
from shared.compute.budget import Budget
from shared.compute.chunk import FilledChunks, LoadedChunk, MappedChunk, Membership, disjoint_memberships
from shared.compute.export import Exporter
from shared.compute.mapping import map_chunk
from shared.compute.outcome import ChunkOutcome, NodesOutcome
from shared.compute.states import IdStates
from shared.config.datasets import Dataset, Datasets
from shared.errors import DeadlineError, L2CacheError, StorageUnavailableError
from shared.features.api import supervoxel_features
from shared.features.result import Features
from shared.files.open import Folders
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import is_l2
from shared.graph.protocol import Graph, GraphSource
from shared.once import Once
from shared.store.protocol import UNKNOWN, CacheStore, NodeState
from shared.store.states import remembered_unknown
from shared.telemetry.log import StepTimer, event, get_logger
from shared.types import Triple, UInt64Array
from shared.volume.protocol import SupervoxelVolume, VolumeSource

NODES_AT_ONCE = 500
"""So many nodes of a chunk are asked of the graph, computed and written at a time."""

_logger = get_logger("compute")
_NO_IDS = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class _Source:
    """Where the chunks of one dataset come from."""

    dataset: Dataset
    graph: Graph
    geometry: GraphGeometry
    volume: SupervoxelVolume


@dataclass(frozen=True)
class _Request:
    """What is asked for: nodes of which dataset, whether an edit names them, and how long it may take."""

    source: _Source
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
class ComputeService:
    """Computes rows. Doing the same twice, or two at a time, leaves the same rows.

    Attributes:
      datasets: what is configured.
      store: the cache tables.
      graphs: the chunked graphs.
      volumes: the volumes of supervoxels.
      threads: threads of the feature engine.
      budget_s: time after which `compute_nodes` begins nothing further; some nodes of a chunk are computed in any case.
      clock: seconds, ever growing.
      steps: makes the timer of a chunk's steps.
      now_s: Unix time.
      filled: chunks that are known not to be empty.
      attributes: what is computed.
      folders: where exports may be.
    """

    datasets: Datasets
    store: CacheStore
    graphs: GraphSource
    volumes: VolumeSource
    threads: int = 1
    budget_s: float = 480.0
    clock: Callable[[], float] = time.monotonic
    steps: Callable[[], StepTimer] = StepTimer
    now_s: Callable[[], float] = time.time
    filled: FilledChunks = field(default_factory=FilledChunks)
    attributes: AttributeTable = ATTRIBUTES
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
        source = self._source(graph_id)
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

    def load_chunk(self, graph_id: str, coordinate: Triple, steps: StepTimer) -> LoadedChunk:
        """Reads a chunk's supervoxels (the step `read`).

        Args:
          graph_id: the dataset.
          coordinate: of the chunk, in the chunk grid.
          steps: the time is added there.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          OutsideVolumeError: if the grid has no such chunk.
          TransientError: if graph or volume cannot be reached.
          ConfigurationError: if the graph's description or the volume cannot be used.
        """
        with steps.step("read"):
            voxels = self._source(graph_id).volume.read_chunk(coordinate)
            return LoadedChunk.from_voxels(coordinate, voxels, self.threads)

    def map_chunks(
        self, graph_id: str, loaded: Sequence[LoadedChunk], timestamp: datetime | None, steps: StepTimer
    ) -> list[MappedChunk | L2CacheError]:
        """The nodes of chunks' supervoxels, asked of the graph all at once (the step `map`).

        Args:
          graph_id: the dataset.
          loaded: the chunks.
          timestamp: the moment of the graph, aware; None for now.
          steps: the time is added there.

        Returns:
          For each chunk the nodes of its supervoxels; or a `GraphDisagreementError`, where graph and volume do not fit.

        Raises:
          GraphUnavailableError: if the graph cannot be asked just now.
          GraphResponseError: if it answers with an error that no retry fixes.
        """
        source = self._source(graph_id)
        supervoxels = np.concatenate([_NO_IDS, *(chunk.supervoxels for chunk in loaded)])
        if not supervoxels.size:
            return [MappedChunk(_NO_IDS) for _ in loaded]
        with steps.step("map"):
            mapping = source.graph.l2_of_supervoxels(supervoxels, timestamp)
        parts = mapping.parts([len(chunk.supervoxels) for chunk in loaded])
        layout = source.geometry.layout
        return [map_chunk(graph_id, chunk, part, layout) for chunk, part in zip(loaded, parts, strict=True)]

    def compute_features(self, graph_id: str, loaded: LoadedChunk, nodes: UInt64Array, steps: StepTimer) -> Features:
        """Features of the nodes that hold a chunk's supervoxels (the step `features`).

        Args:
          graph_id: the dataset.
          loaded: the chunk.
          nodes: the node of each of its supervoxels, or 0.
          steps: the time is added there.
        """
        source = self._source(graph_id)
        return self._features_of(source, loaded, [Membership(loaded.supervoxels, nodes)], steps)

    def write_rows(self, graph_id: str, parts: Sequence[Features], steps: StepTimer) -> None:
        """Writes rows at once (the step `write`). When it returns, they are durable.

        Raises:
          TableNotFoundError: if the dataset's cache table does not exist.
          StorageUnavailableError: if it cannot be reached.
        """
        features = Features.concatenate(parts)
        if len(features):
            with steps.step("write"):
                self.store.write_features(self.datasets.get(graph_id).l2cache_id, features)

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

    def _remembered(self, source: _Source, l2_ids: UInt64Array) -> UInt64Array:
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
            features = self._features_of(source, loaded(), disjoint_memberships(known), steps)
            voxelless = np.setdiff1d(np.array(list(known), dtype=np.uint64), features.node_ids)
        self.write_rows(graph_id, [features], steps)
        if len(voxelless):
            with steps.step("write"):
                self.store.write_voxelless(table_id, voxelless)
        return ChunkOutcome(len(features), len(voxelless), unknown)

    def _features_of(
        self, source: _Source, loaded: LoadedChunk, memberships: Sequence[Membership], steps: StepTimer
    ) -> Features:
        """Features of the nodes of all memberships (the step `features`); those without voxels are left out."""
        if loaded.is_empty:
            return Features.empty()
        resolution_nm = source.geometry.resolution_nm
        with steps.step("features"):
            parts = [
                supervoxel_features(
                    loaded.runs, part.supervoxels, part.nodes, resolution_nm, self.threads, self.attributes
                )
                for part in memberships
            ]
            return Features.concatenate(parts)

    def _source(self, graph_id: str) -> _Source:
        dataset = self.datasets.get(graph_id)
        graph = self.graphs.get(dataset)
        geometry = graph.geometry()
        return _Source(dataset, graph, geometry, self.volumes.get(geometry))

    def _logged(self, source: _Source, coordinate: Triple, outcome: ChunkOutcome) -> ChunkOutcome:
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
