"""A segmentation of a few thousand voxels, its graph and its cache table, all in memory and on command out of order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from shared.attributes import ATTRIBUTES
from shared.compute.service import ComputeService
from shared.config.datasets import Dataset, Datasets
from shared.errors import L2CacheError
from shared.features.api import supervoxel_runs
from shared.features.runs import LabelRuns
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import compose_ids, slices_of_chunks, supervoxel_chunks, supervoxel_chunks_of_nodes
from shared.graph.protocol import L2Mapping, RootNodes
from shared.graph.roots import judged_roots
from shared.store.open import open_store
from shared.store.protocol import CacheStore, TableMeta
from shared.types import Triple, UInt64Array

CHUNK: Triple = (9, 7, 5)
SIZE: Triple = (23, 14, 12)
EMPTY: Triple = (2, 1, 2)
GRAPH_ID, TABLE_ID = "small", "l2cache_small_v1"
META = TableMeta(
    GRAPH_ID, "graphene://http://graph/segmentation/table/small", datetime.fromisoformat("2026-01-01T00:00Z")
)
GEOMETRY = GraphGeometry.from_info(
    {
        "data_dir": "memory",
        "graph": {"chunk_size": CHUNK, "spatial_bit_masks": {"1": 8, "2": 8, "3": 4}, "cv_mip": 0},
        "scales": [{"resolution": [16, 16, 40], "size": SIZE, "voxel_offset": [100, 50, 0]}],
    }
)
SUPERVOXELS_PER_CHUNK = 12
_SEGMENTS = (1 << 32) - 1


def node_id(layer: int, coordinate: Triple, segment: int) -> int:
    """Id of a node of the small graph."""
    ids = compose_ids(layer, np.array([coordinate]), np.array([segment], dtype=np.uint64), GEOMETRY.layout)
    return int(ids[0])


class SmallVolume:
    """Each chunk is cut into slanted layers of supervoxels, numbered from 1; segment 0 never occurs.

    Attributes:
      fail: called with a chunk's coordinate before it is read; may raise.
      reads: the chunks that were read.
    """

    def __init__(self) -> None:
        self.fail: Callable[[Triple], None] = lambda _: None
        self.reads: list[Triple] = []

    def get(self, _geometry: GraphGeometry) -> SmallVolume:
        """As `VolumeSource.get`."""
        return self

    def read_chunk(self, coordinate: Triple) -> UInt64Array:
        """As `SupervoxelVolume.read_chunk`."""
        GEOMETRY.chunk_box(coordinate)
        self.fail(coordinate)
        self.reads.append(coordinate)
        return voxels_of(coordinate)

    def read_runs(self, coordinate: Triple, threads: int = 1) -> LabelRuns:
        """As `SupervoxelVolume.read_runs`."""
        return supervoxel_runs(self.read_chunk(coordinate), threads)


def voxels_of(coordinate: Triple) -> UInt64Array:
    """The supervoxels of a chunk, zeros beyond the volume's end."""
    x, y, z = np.indices(CHUNK)
    layer = (x + 2 * y + 3 * z) * (SUPERVOXELS_PER_CHUNK + 1) // 33
    ids = np.array([0] + [node_id(1, coordinate, s) for s in range(1, SUPERVOXELS_PER_CHUNK + 1)], dtype=np.uint64)
    voxels = ids[layer]
    for axis, (c, chunk, size) in enumerate(zip(coordinate, CHUNK, SIZE, strict=True)):
        np.moveaxis(voxels, axis, 0)[max(0, size - c * chunk) :] = 0
    return np.asfortranarray(voxels if coordinate != EMPTY else np.zeros_like(voxels))


class SmallGraph:
    """A graph whose nodes a test makes up.

    Attributes:
      members: supervoxels of each node, in the order in which edits made the nodes.
      fail: called with the chunk of a request before it is answered; may raise.
      asked: ids that `supervoxels_of` was asked for.
      given_s: the seconds that `supervoxels_of` was given for each question.
      complete: whether a chunk without nodes has none for good; else the graph reaches it later than any moment.
    """

    def __init__(self) -> None:
        self.members: dict[int, list[int]] = {}
        self.fail: Callable[[Triple], None] = lambda _: None
        self.asked: list[int] = []
        self.given_s: list[float | None] = []
        self.complete = False

    def add(self, coordinate: Triple, segment: int, supervoxels: set[int] | range) -> int:
        """Makes a node of the supervoxels of these segment numbers."""
        l2_id = node_id(2, coordinate, segment)
        self.members[l2_id] = [node_id(1, coordinate, s) for s in supervoxels]
        return l2_id

    def get(self, _dataset: Dataset) -> SmallGraph:
        """As `GraphSource.get`."""
        return self

    def geometry(self) -> GraphGeometry:
        """As `Graph.geometry`."""
        return GEOMETRY

    def l2_of_supervoxels(self, supervoxels: UInt64Array, _timestamp: datetime | None) -> L2Mapping:
        """As `Graph.l2_of_supervoxels`; of several nodes the one made last holds a supervoxel."""
        layout = GEOMETRY.layout
        holder = {supervoxel: l2_id for l2_id, members in self.members.items() for supervoxel in members}
        l2_ids = np.array([holder.get(supervoxel, 0) for supervoxel in supervoxels.tolist()], dtype=np.uint64)
        reached = supervoxel_chunks_of_nodes(np.array([*self.members], dtype=np.uint64), layout)
        later = ~np.isin(supervoxel_chunks(supervoxels, layout), reached) & (not self.complete)
        return L2Mapping(l2_ids, np.zeros(supervoxels.size, dtype=np.bool_), later)

    def supervoxels_of(self, l2_ids: UInt64Array, within_s: float | None = None) -> dict[int, UInt64Array]:
        """As `Graph.supervoxels_of`."""
        self.given_s.append(within_s)
        for coordinate, ids in GEOMETRY.group_by_chunk(l2_ids):
            self.fail(coordinate)
            self.asked.extend(ids.tolist())
        members = {l2_id: self.members.get(l2_id, []) for l2_id in l2_ids.tolist()}
        return {l2_id: np.unique(np.array(m, dtype=np.uint64)) for l2_id, m in members.items()}

    def l2_ids_of_roots(self, root_ids: UInt64Array) -> RootNodes:
        """As `Graph.l2_ids_of_roots`: a root has the nodes of its segment number, in all chunks."""
        nodes = {
            root: np.array(sorted(l2_id for l2_id in self.members if not (l2_id ^ root) & _SEGMENTS), dtype=np.uint64)
            for root in root_ids.tolist()
        }
        return judged_roots(nodes, {}, GEOMETRY.layout)

    def l2_ids_at(self, chunks: Sequence[Triple], _timestamp: datetime | None) -> list[UInt64Array]:
        """As `Graph.l2_ids_at`."""
        owners = {supervoxel: l2_id for l2_id, members in self.members.items() for supervoxel in members}
        return self._of_chunks(chunks, set(owners.values()))

    def l2_ids_ever(self, chunks: Sequence[Triple]) -> list[UInt64Array]:
        """As `Graph.l2_ids_ever`."""
        return self._of_chunks(chunks, set(self.members))

    def _of_chunks(self, chunks: Sequence[Triple], l2_ids: set[int]) -> list[UInt64Array]:
        for chunk in chunks:
            self.fail(chunk)
        ordered = np.array(sorted(l2_ids), dtype=np.uint64)
        return [ordered[part] for part in slices_of_chunks(ordered, chunks, GEOMETRY.layout)]


class SmallCache:
    """A compute service over the small graph, with a real store."""

    def __init__(self, folder: Path, *, table: bool = True, **arguments: Any) -> None:
        self.store: CacheStore = open_store(f"sqlite://{folder.resolve()}/cache.db")
        self.graph, self.volume = SmallGraph(), SmallVolume()
        self.datasets = Datasets({GRAPH_ID: Dataset(GRAPH_ID, META.cv_path, TABLE_ID)})
        self.service = ComputeService(self.datasets, self.store, self.graph, self.volume, **arguments)
        if table:
            self.store.create_table(TABLE_ID, META)

    def rows(self) -> dict[int, dict[str, bytes]]:
        """All rows that any id of this world has."""
        chunks = [*np.ndindex(GEOMETRY.grid_shape)]
        ids = [node_id(2, chunk, segment) for chunk in chunks for segment in range(40)]
        names = [attribute.name for attribute in ATTRIBUTES]
        found = self.store.read_cells(TABLE_ID, np.array(ids, dtype=np.uint64), names)
        return {
            l2_id: {name: found.columns[name][row] for name in names} for row, l2_id in enumerate(found.l2_ids.tolist())
        }


def failing(error: L2CacheError, *chunks: Triple) -> Callable[[Triple], None]:
    """Raises an error for some chunks, for all if none is named."""

    def fail(coordinate: Triple) -> None:
        if not chunks or coordinate in chunks:
            raise error

    return fail
