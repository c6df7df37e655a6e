"""What came of computing nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.errors import L2CacheError, TransientError
from shared.types import Triple, UInt64Array


@dataclass(frozen=True)
class ChunkOutcome:
    """What came of the nodes of one chunk.

    Attributes:
      n_nodes: rows written for nodes with voxels.
      n_voxelless: rows written for nodes without voxels.
      unknown_ids: nodes that were asked for and that the graph does not know; they have no row.
      steps_ms: milliseconds by step: `read`, `map`, `features`, `write`.
    """

    n_nodes: int
    n_voxelless: int = 0
    unknown_ids: tuple[int, ...] = ()
    steps_ms: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_parts(cls, parts: Sequence[ChunkOutcome], steps_ms: Mapping[str, float]) -> ChunkOutcome:
        """What came of a chunk whose nodes were computed in parts."""
        return cls(
            sum(part.n_nodes for part in parts),
            sum(part.n_voxelless for part in parts),
            tuple(l2_id for part in parts for l2_id in part.unknown_ids),
            steps_ms,
        )


@dataclass(frozen=True)
class NodesOutcome:
    """What came of the nodes of one message.

    Attributes:
      chunks: what came of each chunk that was computed, if only in part.
      failures: why the others, and the rest of those, were not.
      refused: ids that cannot exist, with the reason.
      n_cached: nodes that had a row already and were left alone.
      n_remembered: nodes that the graph did not know a while ago, and that it was not asked for again.
      failed_ids: the nodes that were asked for of each chunk in `failures`, uint64[m]; some may have got their rows.
    """

    chunks: Mapping[Triple, ChunkOutcome]
    failures: Mapping[Triple, L2CacheError]
    refused: Mapping[int, str]
    n_cached: int = 0
    n_remembered: int = 0
    failed_ids: Mapping[Triple, UInt64Array] = field(default_factory=dict)

    @property
    def n_nodes(self) -> int:
        """Rows written for nodes with voxels."""
        return sum(chunk.n_nodes for chunk in self.chunks.values())

    @property
    def n_voxelless(self) -> int:
        """Rows written for nodes without voxels."""
        return sum(chunk.n_voxelless for chunk in self.chunks.values())

    @property
    def unknown_ids(self) -> tuple[int, ...]:
        """Nodes that the graph does not know."""
        return tuple(l2_id for chunk in self.chunks.values() for l2_id in chunk.unknown_ids)

    @property
    def transient_failure(self) -> TransientError | None:
        """A failure after which asking for the same nodes again may succeed, if there is one."""
        return next((error for error in self.failures.values() if isinstance(error, TransientError)), None)
