"""The compute service: nodes or whole chunks -> rows of the cache table."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from shared.compute.chunk import LoadedChunk, Membership, disjoint_memberships
from shared.compute.outcome import ChunkOutcome, NodesOutcome
from shared.datasets import Dataset, Datasets
from shared.errors import DeadlineError, L2CacheError, StorageUnavailableError
from shared.features import Features, supervoxel_features
from shared.geometry import GraphGeometry
from shared.graph import Graph, GraphSource
from shared.ids import is_l2, l2_id_range
from shared.log import StepTimer, event, get_logger
from shared.store import CacheStore
from shared.types import Triple, UInt64Array
from shared.volume import SupervoxelVolume, VolumeSource

_logger = get_logger("compute")
_NO_IDS = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class _Source:
    """Where the chunks of one dataset come from."""

    dataset: Dataset
    graph: Graph
    geometry: GraphGeometry
    volume: SupervoxelVolume


class NodesIsolation(Protocol):
    """A process of its own for nodes of chunks that may kill the one that computes them."""

    def compute_nodes(self, graph_id: str, l2_ids: UInt64Array) -> NodesOutcome:
        """As `ComputeService.compute_nodes`, for nodes of one chunk.

        Raises:
          ChunkFaultError: if the chunk kills its process, or ends it in another way that nobody foresaw.
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
      budget_s: time after which `compute_nodes` begins no further chunk; one is computed in any case.
      clock: seconds, ever growing.
      steps: makes the timer of a chunk's steps.
    """

    datasets: Datasets
    store: CacheStore
    graphs: GraphSource
    volumes: VolumeSource
    threads: int = 1
    budget_s: float = 480.0
    clock: Callable[[], float] = time.monotonic
    steps: Callable[[], StepTimer] = StepTimer

    def compute_nodes(
        self, graph_id: str, l2_ids: UInt64Array, isolation: NodesIsolation | None = None
    ) -> NodesOutcome:
        """Computes the rows of some nodes, current or superseded, reading each of their chunks once.

        Nodes that have a row are left alone, since it is true for ever: so a message that took too long goes on from
        where it stopped when it is delivered again. A chunk that fails does not keep the others from being computed.
        Once `budget_s` is over no further chunk is begun, which is one failure, a `DeadlineError`.

        Args:
          graph_id: the dataset.
          l2_ids: uint64[n], any order, duplicates and ids that cannot exist allowed.
          isolation: computes each chunk's nodes elsewhere, if given.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          TableNotFoundError: if its cache table does not exist.
          TransientError: if the graph's geometry or the cache table cannot be read.
          ConfigurationError: if the graph's description cannot be used.
        """
        end_s = self.clock() + self.budget_s
        source = self._source(graph_id)
        distinct = np.unique(l2_ids)
        possible = source.geometry.can_exist(distinct)
        cached = self.store.read_cells(source.dataset.l2cache_id, distinct[possible], ["size_nm3"]).l2_ids
        wanted = np.setdiff1d(distinct[possible], cached, assume_unique=True)
        chunks: dict[Triple, ChunkOutcome] = {}
        failures: dict[Triple, L2CacheError] = {}
        groups = source.geometry.group_by_chunk(wanted)
        for number, (coordinate, ids) in enumerate(groups):
            if number and self.clock() > end_s:
                left = len(groups) - number
                failures[coordinate] = DeadlineError(
                    f"after {self.budget_s:g} s {left} chunks are left for another try"
                )
                break
            try:
                if isolation is None:
                    chunks[coordinate] = self._compute_some(source, coordinate, ids)
                else:
                    elsewhere = isolation.compute_nodes(graph_id, ids)
                    chunks |= elsewhere.chunks
                    failures |= elsewhere.failures
            except StorageUnavailableError:
                raise
            except L2CacheError as error:
                failures[coordinate] = error
                event(_logger, logging.WARNING, "chunk failed", dataset=graph_id, chunk=coordinate, reason=str(error))
        refused = _reasons(distinct[~possible], source.geometry)
        return NodesOutcome(chunks, failures, refused, len(cached))

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
    ) -> list[UInt64Array]:
        """The nodes of chunks' supervoxels, asked of the graph all at once (the step `map`).

        Args:
          graph_id: the dataset.
          loaded: the chunks.
          timestamp: the moment of the graph, aware; None for now.
          steps: the time is added there.

        Returns:
          For each chunk the nodes of its `supervoxels`, uint64[k]; 0 where there is none.

        Raises:
          GraphUnavailableError: if the graph cannot be asked just now.
          GraphResponseError: if it answers what no retry will mend.
        """
        source = self._source(graph_id)
        supervoxels = np.concatenate([_NO_IDS, *(chunk.supervoxels for chunk in loaded)])
        nodes = _NO_IDS
        if supervoxels.size:
            with steps.step("map"):
                nodes = source.graph.l2_of_supervoxels(supervoxels, timestamp)
        parts = np.split(nodes, np.cumsum([len(chunk.supervoxels) for chunk in loaded]))[:-1]
        return [_without_strangers(own, chunk.coordinate, source) for chunk, own in zip(loaded, parts, strict=True)]

    def chunk_features(self, graph_id: str, loaded: LoadedChunk, nodes: UInt64Array, steps: StepTimer) -> Features:
        """Features of the nodes that hold a chunk's supervoxels (the step `features`).

        Args:
          graph_id: the dataset.
          loaded: the chunk.
          nodes: the node of each of its supervoxels, or 0.
          steps: the time is added there.
        """
        source = self._source(graph_id)
        if loaded.is_empty:
            return Features.empty()
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

    def _compute_some(self, source: _Source, coordinate: Triple, l2_ids: UInt64Array) -> ChunkOutcome:
        """Computes and writes the rows of nodes of one chunk."""
        steps, graph_id, table_id = self.steps(), source.dataset.graph_id, source.dataset.l2cache_id
        loaded = self.load_chunk(graph_id, coordinate, steps)
        if loaded.is_empty:
            # Nothing will ever be here, whether the graph knows the ids or not: it need not be asked.
            with steps.step("write"):
                self.store.write_voxelless(table_id, l2_ids)
            return self._logged(source, coordinate, ChunkOutcome(0, len(l2_ids), steps_ms=steps.milliseconds))
        with steps.step("map"):
            members = source.graph.supervoxels_of(l2_ids)
        unknown = tuple(l2_id for l2_id, supervoxels in members.items() if not len(supervoxels))
        known = {l2_id: supervoxels for l2_id, supervoxels in members.items() if len(supervoxels)}
        features = self._features_of(source, loaded, disjoint_memberships(known), steps)
        voxelless = np.setdiff1d(np.array(list(known), dtype=np.uint64), features.node_ids)
        self.write_rows(graph_id, [features], steps)
        if len(voxelless):
            with steps.step("write"):
                self.store.write_voxelless(table_id, voxelless)
        outcome = ChunkOutcome(len(features), len(voxelless), unknown, steps.milliseconds)
        return self._logged(source, coordinate, outcome)

    def _features_of(
        self, source: _Source, loaded: LoadedChunk, memberships: Sequence[Membership], steps: StepTimer
    ) -> Features:
        """Features of the nodes of all memberships (the step `features`); those without voxels are left out."""
        resolution_nm = source.geometry.resolution_nm
        with steps.step("features"):
            parts = [
                supervoxel_features(loaded.runs, part.supervoxels, part.nodes, resolution_nm, self.threads)
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


def _without_strangers(nodes: UInt64Array, coordinate: Triple, source: _Source) -> UInt64Array:
    """The nodes, 0 in place of those of other chunks: volume and graph disagree there, and a row would be wrong."""
    first, last = l2_id_range(coordinate, source.geometry.layout)
    strangers = (nodes != 0) & ((nodes < np.uint64(first)) | (nodes > np.uint64(last)))
    if strangers.any():
        event(
            _logger,
            logging.ERROR,
            "the volume has supervoxels of other chunks here",
            dataset=source.dataset.graph_id,
            chunk=coordinate,
            supervoxels=int(strangers.sum()),
        )
    return np.where(strangers, np.uint64(0), nodes)


def _reasons(l2_ids: UInt64Array, geometry: GraphGeometry) -> dict[int, str]:
    right_layer = is_l2(l2_ids, geometry.layout)
    return {
        l2_id: "its chunk lies outside the volume" if fits else "not an L2 id"
        for l2_id, fits in zip(l2_ids.tolist(), right_layer.tolist(), strict=True)
    }
