"""What leaf tasks do with their chunks, by the kind of run. A new kind is one more entry of `WORK` or `BLOCK_WORK`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeAlias

from shared.ingest.kind import RunKind
from shared.ingest.leaf.audit import HasAuditor, audit_chunks
from shared.ingest.leaf.closing import HasManifests
from shared.ingest.leaf.files import HasExporter, export_block, import_block
from shared.ingest.leaf.pipeline import ChunkComputer, ChunkResult, compute_chunks
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from shared.telemetry.log import StepTimer
from shared.types import Triple


class Computer(ChunkComputer, HasAuditor, HasExporter, HasManifests, Protocol):
    """All that the work of any kind needs."""


Work: TypeAlias = "Callable[[Computer, Run, Iterable[Triple], StepTimer, int], Iterator[ChunkResult]]"
"""As `compute_chunks`: gives a result per chunk, in their order, when all that it tells of is done."""

WORK: Mapping[RunKind, Work] = {
    RunKind.INGEST: compute_chunks,
    RunKind.AUDIT: audit_chunks,
}

BlockWork: TypeAlias = "Callable[[Computer, BlockTask, Iterable[Triple], StepTimer], list[ChunkResult]]"
"""As `export_block`: gives a result per chunk of a block, or none if the run does not go on."""

BLOCK_WORK: Mapping[RunKind, BlockWork] = {
    RunKind.EXPORT: export_block,
    RunKind.IMPORT: import_block,
}


def work_on_chunks(
    computer: Computer, run: Run, chunks: Iterable[Triple], steps: StepTimer, batch_chunks: int = 1
) -> Iterator[ChunkResult]:
    """Does with chunks what the kind of their run is for; see `compute_chunks`."""
    return WORK[run.kind](computer, run, chunks, steps, batch_chunks)
