"""Comparing rows of a cache table with the graph: which ones should be there, are there, and are right.

The nodes of a chunk are asked of the graph and its rows scanned, both without reading a voxel. Only rows that are
missing or verified are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from shared.attributes import SIZE, VOXELLESS_SIZE, feature_cells, further_names
from shared.errors import L2CacheError, PermanentError
from shared.geometry.ids import l2_id_ranges, slices_of_chunks
from shared.telemetry.log import StepTimer
from shared.types import BoolArray, Triple, UInt64Array

if TYPE_CHECKING:
    from shared.compute.service import ComputeService

_NO_IDS: UInt64Array = np.zeros(0, dtype=np.uint64)

Chooser = Callable[[UInt64Array], UInt64Array]
"""Which of some ids' rows are verified."""


@dataclass(frozen=True, eq=False)
class ChunkIds:
    """The ids of a chunk, as far as they are known without computing anything.

    Attributes:
      chunk: its coordinate.
      present: uint64[n], nodes that the graph has at the moment, and that have a row.
      empty: how many of these rows say that the node has no voxels.
      missing: uint64[n], such nodes without a row.
      of_other_moments: how many rows are of nodes that the graph has at other moments: superseded, or not yet made.
      orphaned: how many are of nodes that it never had.
    """

    chunk: Triple
    present: UInt64Array
    empty: int
    missing: UInt64Array
    of_other_moments: int
    orphaned: int


@dataclass(frozen=True)
class ChunkAudit:
    """What an audit found in a chunk, and did about it.

    Attributes:
      l2_ids: nodes that the graph has at the moment.
      rows: how many of them have a row, those that were computed now among them.
      empty: how many of these rows say that the node has no voxels.
      missing: how many of the nodes have no row.
      of_other_moments: see `ChunkIds`.
      orphaned: see `ChunkIds`.
      repaired: rows that were missing and are computed now.
      verified: rows that were computed anew and compared.
      differing: those of them that differ, by id, with the attributes that do.
    """

    l2_ids: int
    rows: int
    empty: int
    missing: int
    of_other_moments: int
    orphaned: int
    repaired: int = 0
    verified: int = 0
    differing: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Auditor:
    """Audits chunks.

    Attributes:
      service: computes rows.
    """

    service: ComputeService

    def find_ids(
        self, graph_id: str, chunks: Sequence[Triple], timestamp: datetime, steps: StepTimer
    ) -> list[ChunkIds | L2CacheError]:
        """The ids of chunks, asked for together (the steps `map` and `scan`).

        Args:
          graph_id: the dataset.
          chunks: coordinates in the chunk grid.
          timestamp: the moment of the graph, aware.
          steps: the time is added there.

        Returns:
          For each chunk its ids, or why they cannot be told.
        """
        try:
            return list(self._find_ids(graph_id, chunks, timestamp, steps))
        except L2CacheError as error:
            if isinstance(error, PermanentError) and len(chunks) > 1:
                # Perhaps it is about one of them only.
                return [found for chunk in chunks for found in self.find_ids(graph_id, [chunk], timestamp, steps)]
            return [error for _ in chunks]

    def audit(self, graph_id: str, ids: ChunkIds, repair: bool, chosen: Chooser, steps: StepTimer) -> ChunkAudit:
        """What there is to say of a chunk, after its missing rows were computed, if that is wanted.

        Args:
          graph_id: the dataset.
          ids: of the chunk.
          repair: whether missing rows are computed.
          chosen: which of the rows that are there are computed anew and compared.
          steps: the time of comparing is added there.

        Raises:
          L2CacheError: what keeps rows from being computed.
        """
        empty, repaired, there = ids.empty, 0, 0
        if repair and ids.missing.size:
            outcome = self.service.compute_nodes(graph_id, ids.missing, is_edit=True)
            for failure in outcome.failures.values():
                raise failure
            empty += outcome.n_voxelless
            repaired = outcome.n_nodes + outcome.n_voxelless
            # Somebody else may have computed some just now.
            there = repaired + outcome.n_cached
        verified = chosen(ids.present)
        return ChunkAudit(
            l2_ids=len(ids.present) + len(ids.missing),
            rows=len(ids.present) + there,
            empty=empty,
            missing=len(ids.missing) - there,
            of_other_moments=ids.of_other_moments,
            orphaned=ids.orphaned,
            repaired=repaired,
            verified=len(verified),
            differing=self._differing(graph_id, ids.chunk, verified, steps) if len(verified) else {},
        )

    def _find_ids(
        self, graph_id: str, chunks: Sequence[Triple], timestamp: datetime, steps: StepTimer
    ) -> Sequence[ChunkIds]:
        dataset = self.service.datasets.get(graph_id)
        graph = self.service.graphs.get(dataset)
        layout = graph.geometry().layout
        with steps.step("map"):
            nodes = graph.l2_ids_at(chunks, timestamp)
        with steps.step("scan"):
            found = self.service.store.scan_ids(dataset.l2cache_id, l2_id_ranges(chunks, layout))
        # The chunks' ids do not mix: what is among the nodes of all is among those of its own chunk.
        is_node = _among(found.l2_ids, np.sort(np.concatenate([_NO_IDS, *nodes])))
        parts = slices_of_chunks(found.l2_ids, chunks, layout)
        others = [found.l2_ids[part][~is_node[part]] for part in parts]
        strange = [chunk for chunk, ids in zip(chunks, others, strict=True) if ids.size]
        # Asked after the rows were read: a row of a node that an edit is just making is no orphan.
        with steps.step("map"):
            ever = dict(zip(strange, graph.l2_ids_ever(strange) if strange else (), strict=True))
        results = []
        for chunk, own, part, other in zip(chunks, nodes, parts, others, strict=True):
            present, empty = found.l2_ids[part][is_node[part]], found.empty[part][is_node[part]]
            orphaned = int((~_among(other, ever[chunk])).sum()) if other.size else 0
            missing = own[~_among(own, present)]
            results.append(ChunkIds(chunk, present, int(empty.sum()), missing, len(other) - orphaned, orphaned))
        return results

    def _differing(
        self, graph_id: str, chunk: Triple, l2_ids: UInt64Array, steps: StepTimer
    ) -> dict[int, tuple[str, ...]]:
        """The rows that differ from what is computed now, and in which attributes.

        A row without a value of an attribute that came after PCGL2Cache's eight may have been written before: that is
        no difference.
        """
        service = self.service
        names = service.attributes.names
        further = set(further_names(service.attributes))
        stored = service.store.read_cells(service.datasets.get(graph_id).l2cache_id, l2_ids, names)
        computed = self._computed(graph_id, chunk, l2_ids, steps)
        voxelless = dict.fromkeys(names, b"") | {SIZE.name: VOXELLESS_SIZE}
        differing = {}
        for row, l2_id in enumerate(stored.l2_ids.tolist()):
            cells, own = computed.get(l2_id, voxelless), {name: stored.columns[name][row] for name in names}
            wrong = [n for n in names if own[n] != cells[n] and (own[n] or n not in further)]
            if wrong:
                differing[l2_id] = tuple(wrong)
        return differing

    def _computed(
        self, graph_id: str, chunk: Triple, l2_ids: UInt64Array, steps: StepTimer
    ) -> dict[int, dict[str, bytes]]:
        """The cells of nodes of a chunk that have voxels, none of which supersedes another; nothing is written."""
        service = self.service
        loaded = service.load_chunk(graph_id, chunk, steps)
        with steps.step("map"):
            members = service.graphs.get(service.datasets.get(graph_id)).supervoxels_of(l2_ids)
        nodes = np.zeros(len(loaded.supervoxels), dtype=np.uint64)
        for l2_id, supervoxels in members.items():
            nodes[np.isin(loaded.supervoxels, supervoxels)] = l2_id
        return dict(feature_cells(service.compute_features(graph_id, loaded, nodes, steps)))


def _among(some: UInt64Array, ids: UInt64Array) -> BoolArray:
    """Which of some ids are among others, which ascend: bool[n]. As `np.isin`, which sorts once more."""
    if not ids.size:
        return np.zeros(some.size, dtype=np.bool_)
    there: BoolArray = ids[np.minimum(np.searchsorted(ids, some), len(ids) - 1)] == some
    return there
