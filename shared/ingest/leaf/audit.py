"""Auditing many chunks: their ids are found ahead, several batches at a time; what is to be computed, one after the
other, so that no more than one chunk's voxels are in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import L2CacheError
from shared.ingest.audit import COUNTED, DIFFERING_IN, AuditOptions, Sample
from shared.ingest.leaf.pipeline import ChunkResult, ahead, batches_of
from shared.telemetry.log import StepTimer, event, get_logger
from shared.types import Triple

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from shared.compute.audit import ChunkAudit, ChunkIds
    from shared.ingest.run import Run
    from shared.types import UInt64Array

BATCHES_AT_ONCE = 4

_logger = get_logger("ingest")


class ChunkAuditor(Protocol):
    """Compares the rows of chunks with the graph."""

    def find_ids(
        self, graph_id: str, chunks: Sequence[Triple], timestamp: datetime, steps: StepTimer
    ) -> list[ChunkIds | L2CacheError]:
        """The ids that the graph and the table have of chunks; of a chunk where it goes wrong, the error."""

    def audit(
        self,
        graph_id: str,
        ids: ChunkIds,
        repair: bool,
        chosen: Callable[[UInt64Array], UInt64Array],
        steps: StepTimer,
    ) -> ChunkAudit:
        """Computes what is missing, if that is wanted, and what is chosen to be verified."""


class HasAuditor(Protocol):
    """What audits need of whoever computes chunks."""

    @property
    def auditor(self) -> ChunkAuditor:
        """Audits chunks."""


def audit_chunks(
    computer: HasAuditor, run: Run, chunks: Iterable[Triple], steps: StepTimer, batch_chunks: int = 1
) -> Iterator[ChunkResult]:
    """Audits chunks; one that fails with an error of ours gives a result that says so, and the others go on.

    Args:
      computer: audits.
      run: the audit.
      chunks: chunk coordinates.
      steps: collects the milliseconds of all steps.
      batch_chunks: chunks whose ids are asked for together.

    Yields:
      A result per chunk, in the order of `chunks`.

    Raises:
      BadRequestError: if the run's options are none of an audit.
    """
    work = _Work(computer.auditor, run, AuditOptions.of(run), Sample.of(run), steps)
    with ThreadPoolExecutor(BATCHES_AT_ONCE, "audit") as pool:

        def begin(batch: list[Triple]) -> tuple[list[Triple], Future[list[ChunkIds | L2CacheError]]]:
            return batch, pool.submit(work.find, batch)

        try:
            for batch, finding in ahead(batches_of(chunks, batch_chunks), begin):
                for chunk, found in zip(batch, finding.result(), strict=True):
                    yield work.result(chunk, found)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Work:
    auditor: ChunkAuditor
    run: Run
    options: AuditOptions
    sample: Sample
    steps: StepTimer

    def find(self, batch: Sequence[Triple]) -> list[ChunkIds | L2CacheError]:
        """Finds the ids of a batch."""
        return self.auditor.find_ids(self.run.graph_id, batch, self.run.timestamp, self.steps)

    def result(self, chunk: Triple, found: ChunkIds | L2CacheError) -> ChunkResult:
        """What came of a chunk."""
        if isinstance(found, L2CacheError):
            return ChunkResult(chunk, error=found)
        try:
            audit = self.auditor.audit(self.run.graph_id, found, self.options.repair, self.sample, self.steps)
        except L2CacheError as error:
            return ChunkResult(chunk, error=error)
        for l2_id, names in audit.differing.items():
            fields = {"chunk": chunk, "l2_id": str(l2_id), "attributes": names, "run_id": self.run.run_id}
            event(_logger, logging.WARNING, "row differs", dataset=self.run.graph_id, **fields)
        return ChunkResult(chunk, audit.repaired, counts=_counts(audit), notes=_notes(audit))


def _counts(audit: ChunkAudit) -> dict[str, int]:
    counts = {name: value if isinstance(value := getattr(audit, name), int) else len(value) for name in COUNTED}
    for names in audit.differing.values():
        for name in names:
            counts[DIFFERING_IN + name] = counts.get(DIFFERING_IN + name, 0) + 1
    return {name: count for name, count in counts.items() if count}


def _notes(audit: ChunkAudit) -> tuple[str, ...]:
    return tuple(f"{l2_id}: {', '.join(names)}" for l2_id, names in audit.differing.items())
