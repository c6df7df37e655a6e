"""The world of a soak run: a made volume with its graph, a copy that nothing touches, and the rows that are right."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.server import WORLD_INFO, WORLD_JOURNAL, WORLD_WATERSHED, GraphFiles, load
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from shared.attributes import ATTRIBUTES
from shared.compute.service import ComputeService
from shared.config.datasets import Dataset, Datasets
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import is_l2, l2_id_range
from shared.store.protocol import TableMeta
from shared.store.sqlite import SQLiteStore
from shared.types import Triple, UInt64Array
from shared.volume.cloudvolume import Volumes

L2CACHE_ID = f"l2cache_{TABLE}_v1"
CHUNK_VOXELS: Triple = (24, 24, 24)
"""Small chunks, yet with so many supervoxels that a wrong answer about them stands out."""

Row: TypeAlias = Mapping[str, bytes]
_NAMES = [attribute.name for attribute in ATTRIBUTES]


class SoakWorld:
    """A made world in a folder.

    Args:
      folder: gets `live`, which faults may damage, `pristine`, and the right rows.
      grid: chunks along each axis.

    Attributes:
      live: the world that the stack under test sees.
      initial_ids: L2 ids of the world as it was made.
    """

    def __init__(self, folder: Path, grid: Triple) -> None:
        self.live, self._pristine = folder / "live", folder / "pristine"
        x, y, z = (cells * chunk for cells, chunk in zip(grid, CHUNK_VOXELS, strict=True))
        build(self.live, WorldParameters(size_voxels=(x, y, z), chunk_size_voxels=CHUNK_VOXELS))
        shutil.copytree(self.live, self._pristine)
        self._right = _RightRows(folder / "right.db")
        self.initial_ids = self._l2_ids()
        self._right.compute(self._graph(), self.initial_ids)

    @property
    def geometry(self) -> GraphGeometry:
        """Of the graph."""
        return GraphGeometry.from_info(json.loads((self._pristine / WORLD_INFO).read_text()))

    @property
    def right_rows(self) -> Mapping[int, Row]:
        """The right row of each L2 id that there was when edits were last taken in."""
        return self._right.rows

    @property
    def voxel_files(self) -> list[Path]:
        """The files of the live volume that hold voxels."""
        return sorted(path for path in (self.live / WORLD_WATERSHED).glob("*/*") if path.is_file())

    def mend(self, file: Path) -> None:
        """Gives a file of the live volume its content back, all at once."""
        whole = self._pristine / file.relative_to(self.live)
        beside = file.with_name(f".{file.name}.mended")
        shutil.copyfile(whole, beside)
        beside.replace(file)

    def edited_ids(self) -> set[int]:
        """The L2 ids that edits have made so far, as the graph server wrote them down."""
        journal = self.live / WORLD_JOURNAL
        lines = journal.read_bytes().splitlines() if journal.exists() else []
        records = [json.loads(line) for line in lines if line.endswith(b"}")]
        return {l2_id for record in records for l2_id in record.get("new_lvl2_ids", ())}

    def take_in_edits(self) -> None:
        """Computes the right rows of what edits made. Nobody may edit meanwhile."""
        journal = self.live / WORLD_JOURNAL
        fresh = sorted(self.edited_ids() - self.right_rows.keys())
        if fresh:
            shutil.copyfile(journal, self._pristine / WORLD_JOURNAL)
            self._right.compute(self._graph(), fresh)

    @cached_property
    def supervoxels(self) -> list[int]:
        """All supervoxels of the world as it was made."""
        graph = self._graph()
        return sorted({int(s) for l2_id in self.initial_ids for s in graph.children(l2_id).tolist()})

    @cached_property
    def unknown_chunk_ids(self) -> range:
        """Ids of a chunk with nodes that the graph has never heard of."""
        first, last = l2_id_range(self._busiest_chunk(), self.geometry.layout)
        return range(last - min(200_000, (last - first) // 2), last)

    def _busiest_chunk(self) -> Triple:
        groups = self.geometry.group_by_chunk(np.array(self.initial_ids, dtype=np.uint64))
        return max(groups, key=lambda group: len(group[1]))[0]

    def _graph(self) -> ChunkedGraph:
        return load(GraphFiles.of_world(self._pristine))[1]

    def _l2_ids(self) -> list[int]:
        with gzip.open(self._pristine / "graph.ndjson.gz", "rt") as lines:
            next(lines)
            keys = {json.loads(line)["k"] for line in lines}
        ids = np.array(sorted(int(key) for key in keys if key.isdigit()), dtype=np.uint64)
        found: list[int] = ids[is_l2(ids, self.geometry.layout)].tolist()
        return found


class _RightRows:
    """Rows as the engine computes them in this process, undisturbed."""

    def __init__(self, file: Path) -> None:
        self.rows: dict[int, Row] = {}
        self._store = SQLiteStore(file)
        self._dataset = Dataset(TABLE, f"graphene://http://unused/segmentation/table/{TABLE}", L2CACHE_ID)
        self._store.create_table(L2CACHE_ID, TableMeta(TABLE, self._dataset.cv_path, datetime(2026, 6, 1, tzinfo=UTC)))

    def compute(self, graph: ChunkedGraph, l2_ids: Collection[int]) -> None:
        ids = np.array(sorted(l2_ids), dtype=np.uint64)
        datasets = Datasets({TABLE: self._dataset})
        service = ComputeService(datasets, self._store, _GraphInMemory(graph), Volumes(), budget_s=3600.0)
        outcome = service.compute_nodes(TABLE, ids)
        if outcome.failures or outcome.unknown_ids or outcome.refused:
            raise AssertionError(f"the right rows cannot be computed: {outcome}")
        found = self._store.read_cells(L2CACHE_ID, ids, _NAMES)
        for place, l2_id in enumerate(found.l2_ids.tolist()):
            cells = {name: bytes(found.columns[name][place]) for name in _NAMES}
            self.rows[l2_id] = {name: value for name, value in cells.items() if value}


class _GraphInMemory:
    """`GraphSource` and `Graph` without a server."""

    def __init__(self, graph: ChunkedGraph) -> None:
        self._graph = graph

    def get(self, _dataset: Dataset) -> Any:
        return self

    def geometry(self) -> GraphGeometry:
        return self._graph.geometry

    def supervoxels_of(self, l2_ids: UInt64Array, _within_s: float | None = None) -> dict[int, UInt64Array]:
        return {l2_id: np.unique(self._graph.children(l2_id)) for l2_id in l2_ids.tolist()}
