"""The steps from a chunk's voxels to rows: for nodes of a message, or for whole chunks of an ingest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.compute.chunk import LoadedChunk, MappedChunk, Membership
from shared.compute.mapping import map_chunk
from shared.config.datasets import Dataset, Datasets
from shared.errors import L2CacheError
from shared.features.api import supervoxel_features
from shared.features.result import Features
from shared.geometry.grid import GraphGeometry
from shared.graph.protocol import Graph, GraphSource
from shared.store.protocol import CacheStore
from shared.telemetry.log import StepTimer
from shared.types import Triple, UInt64Array
from shared.volume.protocol import SupervoxelVolume, VolumeSource

_NO_IDS = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class Source:
    """Where the chunks of one dataset come from."""

    dataset: Dataset
    graph: Graph
    geometry: GraphGeometry
    volume: SupervoxelVolume


@dataclass(frozen=True)
class ChunkComputer:
    """Reads, maps, computes and writes chunks.

    Attributes:
      datasets: what is configured.
      store: the cache tables.
      graphs: the chunked graphs.
      volumes: the volumes of supervoxels.
      threads: threads that compute features.
      attributes: what is computed.
    """

    datasets: Datasets
    store: CacheStore
    graphs: GraphSource
    volumes: VolumeSource
    threads: int = 1
    attributes: AttributeTable = ATTRIBUTES

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
            runs = self.source(graph_id).volume.read_runs(coordinate, self.threads)
            return LoadedChunk.from_runs(coordinate, runs)

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
        source = self.source(graph_id)
        supervoxels = np.concatenate([_NO_IDS, *(chunk.supervoxels for chunk in loaded)])
        if not supervoxels.size:
            return [MappedChunk(_NO_IDS) for _ in loaded]
        with steps.step("map"):
            mapping = source.graph.l2_of_supervoxels(supervoxels, timestamp)
        parts = mapping.parts([len(chunk.supervoxels) for chunk in loaded])
        layout = source.geometry.layout
        return [map_chunk(graph_id, chunk, part, layout) for chunk, part in zip(loaded, parts, strict=True)]

    def compute_features(
        self, graph_id: str, loaded: LoadedChunk, nodes: UInt64Array, steps: StepTimer, threads: int | None = None
    ) -> Features:
        """Features of the nodes that hold a chunk's supervoxels (the step `features`).

        Args:
          graph_id: the dataset.
          loaded: the chunk.
          nodes: the node of each of its supervoxels, or 0.
          steps: the time is added there.
          threads: how many there are for this chunk; all by default.
        """
        source = self.source(graph_id)
        return self.features_of(source, loaded, [Membership(loaded.supervoxels, nodes)], steps, threads)

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

    def features_of(
        self,
        source: Source,
        loaded: LoadedChunk,
        memberships: Sequence[Membership],
        steps: StepTimer,
        threads: int | None = None,
    ) -> Features:
        """Features of the nodes of all memberships (the step `features`); those without voxels are left out."""
        if loaded.is_empty:
            return Features.empty()
        resolution_nm, threads = source.geometry.resolution_nm, threads or self.threads
        with steps.step("features"):
            parts = [
                supervoxel_features(loaded.runs, part.supervoxels, part.nodes, resolution_nm, threads, self.attributes)
                for part in memberships
            ]
            return Features.concatenate(parts)

    def source(self, graph_id: str) -> Source:
        """Where a dataset's chunks come from.

        Raises:
          UnknownDatasetError: if the dataset is not configured.
          TransientError: if the graph's description cannot be read.
          ConfigurationError: if it cannot be used.
        """
        dataset = self.datasets.get(graph_id)
        graph = self.graphs.get(dataset)
        geometry = graph.geometry()
        return Source(dataset, graph, geometry, self.volumes.get(geometry))
