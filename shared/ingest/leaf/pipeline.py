"""Computing many chunks so that reading, mapping, computing and writing overlap.

Chunks go through in batches: one question to the graph and one write serve all chunks of a batch, which is what counts
where chunks are small. While a batch is computed, the one before it is being written, the next is being mapped and
those behind that are being read: a worker's core waits neither for the volume nor for the graph nor for the table.

A worker with several threads computes as many chunks at a time, each with one: the threads of one chunk have to wait
for the slowest of them twice, and for what one of them does alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from shared.errors import L2CacheError, PermanentError
from shared.telemetry.log import StepTimer
from shared.types import Triple, UInt64Array

if TYPE_CHECKING:
    from datetime import datetime

    from shared.attributes import AttributeTable
    from shared.compute.chunk import LoadedChunk, MappedChunk
    from shared.features.result import Features
    from shared.ingest.run import Run

READERS = 2
"""Chunks that are read at a time; each is held in full until its runs are found."""

BATCHES_AHEAD = 3

T = TypeVar("T")
U = TypeVar("U")


class ChunkComputer(Protocol):
    """The steps of a chunk."""

    @property
    def attributes(self) -> AttributeTable:
        """What is computed."""

    @property
    def threads(self) -> int:
        """Threads that compute."""

    def load_chunk(self, graph_id: str, coordinate: Triple, steps: StepTimer) -> LoadedChunk:
        """Reads the chunk's supervoxels."""

    def map_chunks(
        self, graph_id: str, loaded: Sequence[LoadedChunk], timestamp: datetime | None, steps: StepTimer
    ) -> list[MappedChunk | L2CacheError]:
        """The nodes of the chunks' supervoxels at a moment of the graph; of a chunk where it goes wrong, the error."""

    def compute_features(
        self, graph_id: str, loaded: LoadedChunk, nodes: UInt64Array, steps: StepTimer, threads: int
    ) -> Features:
        """Features of the chunk's nodes, with so many threads."""

    def write_rows(self, graph_id: str, parts: Sequence[Features], steps: StepTimer) -> None:
        """Writes the rows of several chunks."""


@dataclass(frozen=True)
class ChunkResult:
    """What came of one chunk: its rows, or why there are none.

    Attributes:
      chunk: the chunk.
      rows: how many were written.
      error: why there are none, if it failed.
      foreign_supervoxels: supervoxels that the graph gives to nodes of other chunks; they were left out.
      counts: what work of another kind than an ingest has counted in it, by name.
      notes: what such work has to tell of it, for people.
    """

    chunk: Triple
    rows: int = 0
    error: L2CacheError | None = None
    foreign_supervoxels: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def compute_chunks(
    computer: ChunkComputer, run: Run, chunks: Iterable[Triple], steps: StepTimer, batch_chunks: int = 1
) -> Iterator[ChunkResult]:
    """Computes chunks in batches, their reading, mapping and writing beside it.

    A chunk that fails with one of our errors gives a result that says so, and the others go on; any other exception
    ends the whole.

    Args:
      computer: does the steps.
      run: what is ingested, and at which moment.
      chunks: chunk coordinates.
      steps: collects the milliseconds of all steps, of which several go on at a time.
      batch_chunks: chunks in a batch.

    Yields:
      A result per chunk, in the order of `chunks`, when its rows are written.
    """
    work, shares = _Work(computer, run, steps), _Shares(computer.threads)
    with (
        ThreadPoolExecutor(READERS, "read") as readers,
        ThreadPoolExecutor(1, "map") as mapper,
        ThreadPoolExecutor(computer.threads, "compute") as computers,
        ThreadPoolExecutor(1, "write") as writer,
    ):

        def begin(batch: list[Triple]) -> Future[list[_Mapped | ChunkResult]]:
            shares.chunks_left += len(batch)
            return mapper.submit(work.map, [readers.submit(work.load, chunk) for chunk in batch])

        def compute(mapping: Future[list[_Mapped | ChunkResult]]) -> list[_Computing]:
            return [computers.submit(work.compute, chunk, shares.take()) for chunk in mapping.result()]

        def write(computing: list[_Computing]) -> Future[list[ChunkResult]]:
            return writer.submit(work.write, computing)

        try:
            mapping = ahead(batches_of(chunks, batch_chunks), begin)
            for writing in ahead(ahead(mapping, compute, computer.threads - 1), write, 1):
                yield from writing.result()
        finally:
            for pool in (readers, mapper, computers):
                pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class _Shares:
    """How many threads compute a chunk: one while there are enough chunks for all threads, at last all of them.

    Attributes:
      threads: how many there are.
      chunks_left: chunks that are begun, and not computed yet.
    """

    threads: int
    chunks_left: int = 0

    def take(self) -> int:
        """The threads of the next chunk."""
        threads = -(-self.threads // min(self.threads, self.chunks_left))
        self.chunks_left -= 1
        return threads


@dataclass(frozen=True)
class _Mapped:
    loaded: LoadedChunk
    mapped: MappedChunk


@dataclass(frozen=True)
class _Computed:
    chunk: Triple
    features: Features
    n_foreign: int

    def result(self, failure: L2CacheError | None) -> ChunkResult:
        """What came of the chunk, given whether its rows could not be written."""
        if failure is not None:
            return ChunkResult(self.chunk, error=failure)
        return ChunkResult(self.chunk, len(self.features), foreign_supervoxels=self.n_foreign)


_Loading: TypeAlias = "Future[LoadedChunk | ChunkResult]"
_Computing: TypeAlias = "Future[_Computed | ChunkResult]"


@dataclass(frozen=True)
class _Work:
    """The steps; one that fails with an error of ours makes a result of the chunk, which later steps hand through."""

    computer: ChunkComputer
    run: Run
    steps: StepTimer

    def load(self, chunk: Triple) -> LoadedChunk | ChunkResult:
        """Reads a chunk."""
        try:
            return self.computer.load_chunk(self.run.graph_id, chunk, self.steps)
        except L2CacheError as error:
            return ChunkResult(chunk, error=error)

    def map(self, loading: Sequence[_Loading]) -> list[_Mapped | ChunkResult]:
        """Waits until the chunks of a batch are read, and maps them."""
        batch = [future.result() for future in loading]
        mapped = iter(self._mapped([chunk for chunk in batch if not isinstance(chunk, ChunkResult)]))
        return [chunk if isinstance(chunk, ChunkResult) else next(mapped) for chunk in batch]

    def _mapped(self, loaded: Sequence[LoadedChunk]) -> Sequence[_Mapped | ChunkResult]:
        try:
            mapped = self.computer.map_chunks(self.run.graph_id, loaded, self.run.timestamp, self.steps)
        except L2CacheError as error:
            if isinstance(error, PermanentError) and len(loaded) > 1:
                # Perhaps the graph refuses what is in one of them only.
                return [result for chunk in loaded for result in self._mapped([chunk])]
            return [ChunkResult(chunk.coordinate, error=error) for chunk in loaded]
        return [
            ChunkResult(chunk.coordinate, error=own) if isinstance(own, L2CacheError) else _Mapped(chunk, own)
            for chunk, own in zip(loaded, mapped, strict=True)
        ]

    def compute(self, chunk: _Mapped | ChunkResult, threads: int) -> _Computed | ChunkResult:
        """Computes a chunk."""
        if isinstance(chunk, ChunkResult):
            return chunk
        coordinate = chunk.loaded.coordinate
        try:
            features = self.computer.compute_features(
                self.run.graph_id, chunk.loaded, chunk.mapped.nodes, self.steps, threads
            )
        except L2CacheError as error:
            return ChunkResult(coordinate, error=error)
        return _Computed(coordinate, features, chunk.mapped.n_foreign)

    def write(self, computing: Sequence[_Computing]) -> list[ChunkResult]:
        """Waits until the chunks of a batch are computed, and writes their rows."""
        batch = [future.result() for future in computing]
        computed = [chunk for chunk in batch if isinstance(chunk, _Computed)]
        failure: L2CacheError | None = None
        try:
            self.computer.write_rows(self.run.graph_id, [chunk.features for chunk in computed], self.steps)
        except L2CacheError as error:
            failure = error
        return [chunk if isinstance(chunk, ChunkResult) else chunk.result(failure) for chunk in batch]


def batches_of(chunks: Iterable[Triple], most: int) -> Iterator[list[Triple]]:
    """Chunks in batches of `most`, taken from `chunks` when they are asked for."""
    chunks = iter(chunks)
    return iter(lambda: list(islice(chunks, most)), [])


def ahead(items: Iterable[U], begin: Callable[[U], T], most: int = BATCHES_AHEAD) -> Iterator[T]:
    """What `begin` gives for each item, begun when there are `most` before it."""
    begun: deque[T] = deque()
    for item in items:
        begun.append(begin(item))
        if len(begun) > most:
            yield begun.popleft()
    yield from begun
