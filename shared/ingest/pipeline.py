"""Computing many chunks so that reading, computing and writing overlap.

While one chunk is computed the next ones are being read and the last one is being written: a worker's core waits
neither for the volume nor for the table. At most `READ_AHEAD` chunks are held beside the one that is computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from shared.errors import L2CacheError
from shared.log import StepTimer
from shared.types import Triple

if TYPE_CHECKING:
    from datetime import datetime

    from shared.compute.chunk import LoadedChunk
    from shared.features import Features
    from shared.ingest.run import Run

READ_AHEAD = 2


class ChunkComputer(Protocol):
    """The steps of one chunk."""

    def load_chunk(self, graph_id: str, coordinate: Triple, steps: StepTimer) -> LoadedChunk:
        """Reads the chunk's supervoxels."""

    def chunk_rows(self, graph_id: str, loaded: LoadedChunk, timestamp: datetime | None, steps: StepTimer) -> Features:
        """Features of the chunk's nodes at a moment of the graph."""

    def write_rows(self, graph_id: str, features: Features, steps: StepTimer) -> None:
        """Writes the rows."""


@dataclass(frozen=True)
class ChunkResult:
    """What came of one chunk: its rows, or why there are none."""

    chunk: Triple
    nodes: int = 0
    error: L2CacheError | None = None


def compute_chunks(
    computer: ChunkComputer, run: Run, chunks: Iterable[Triple], steps: StepTimer
) -> Iterator[ChunkResult]:
    """Computes chunks one after the other, their reading and writing beside it.

    A chunk that fails with one of our errors gives a result that says so, and the others go on; any other exception
    ends the whole.

    Args:
      computer: does the steps.
      run: what is ingested, and at which moment.
      chunks: chunk coordinates.
      steps: collects the milliseconds of all steps; reading and writing count beside computing.

    Yields:
      A result per chunk, in the order of `chunks`, when its rows are written.
    """
    with ThreadPoolExecutor(READ_AHEAD, "read") as readers, ThreadPoolExecutor(1, "write") as writer:
        ahead = _ReadAhead(chunks, lambda chunk: readers.submit(computer.load_chunk, run.graph_id, chunk, steps))
        writing: Callable[[], ChunkResult] | None = None
        for chunk, load in ahead:
            computed = _computed(computer, run, chunk, load, steps)
            if writing is not None:
                yield writing()
            if isinstance(computed, ChunkResult):
                yield computed
                writing = None
            else:
                written = writer.submit(computer.write_rows, run.graph_id, computed, steps)
                writing = _Written(chunk, len(computed), written)
        if writing is not None:
            yield writing()


@dataclass(frozen=True)
class _Written:
    """Rows on their way to the table."""

    chunk: Triple
    nodes: int
    future: Future[None]

    def __call__(self) -> ChunkResult:
        """The result, once the rows are written."""
        try:
            self.future.result()
        except L2CacheError as error:
            return ChunkResult(self.chunk, error=error)
        return ChunkResult(self.chunk, self.nodes)


class _ReadAhead:
    """Pairs of chunk and its load, the loads of the following chunks already begun."""

    def __init__(self, chunks: Iterable[Triple], begin: Callable[[Triple], Future[LoadedChunk]]) -> None:
        self._chunks = iter(chunks)
        self._begin = begin
        self._begun: deque[tuple[Triple, Future[LoadedChunk]]] = deque()

    def __iter__(self) -> Iterator[tuple[Triple, Future[LoadedChunk]]]:
        try:
            while True:
                missing = READ_AHEAD + 1 - len(self._begun)
                self._begun.extend((chunk, self._begin(chunk)) for chunk in islice(self._chunks, missing))
                if not self._begun:
                    return
                yield self._begun.popleft()
        finally:
            for _, load in self._begun:
                load.cancel()


def _computed(
    computer: ChunkComputer, run: Run, chunk: Triple, load: Future[LoadedChunk], steps: StepTimer
) -> Features | ChunkResult:
    try:
        return computer.chunk_rows(run.graph_id, load.result(), run.timestamp, steps)
    except L2CacheError as error:
        return ChunkResult(chunk, error=error)
