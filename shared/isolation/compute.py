"""Chunks and nodes computed by a child process: what `LeafService` and `MessageHandler` ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.compute.outcome import NodesOutcome
from shared.errors import L2CacheError
from shared.ingest.leaf.pipeline import ChunkResult
from shared.ingest.run import Run
from shared.isolation.child import Child
from shared.isolation.wire import outcome_of, result_of
from shared.types import Triple, UInt64Array


@dataclass(frozen=True)
class IsolatedCompute:
    """Computes in a child process.

    Attributes:
      child: the process.
    """

    child: Child

    def compute_chunk(self, run: Run, chunk: Triple) -> ChunkResult:
        """Computes a chunk of an ingest and writes its rows; an error is part of the result."""
        try:
            return result_of(self.child.ask({"job": "chunk", "run": run.document(), "chunk": chunk}))
        except L2CacheError as error:
            return ChunkResult(chunk, error=error)

    def compute_nodes(self, graph_id: str, l2_ids: UInt64Array, is_edit: bool) -> NodesOutcome:
        """As `ComputeService.compute_nodes`, for nodes of one chunk.

        Raises:
          ChunkFaultError: if the process died again and again.
          L2CacheError: what `ComputeService.compute_nodes` raises.
        """
        job = {"job": "nodes", "graph_id": graph_id, "l2_ids": l2_ids.tolist(), "is_edit": is_edit}
        return outcome_of(self.child.ask(job))


@contextmanager
def isolated(limit_s: float) -> Iterator[IsolatedCompute]:
    """A child process for as long as a `with` lasts.

    Args:
      limit_s: how long a chunk may take.
    """
    with Child(limit_s) as child:
        yield IsolatedCompute(child)
