"""What the last audit has found, by blocks of chunks, whole or a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import BadRequestError, UnknownRunError
from shared.geometry.grid import Box
from shared.ingest.blocks import parse_block
from shared.ingest.kind import RunKind
from shared.ingest.ledger import Ledger
from shared.ingest.progress import RunStatus, block_progress

if TYPE_CHECKING:
    from shared.ingest.control.service import IngestService
    from shared.ingest.run import Run

_LONGEST_POSITION = 200
"""Characters: the name of a run and that of a block."""


@dataclass(frozen=True)
class Coverage:
    """What an audit has found, by blocks.

    Attributes:
      status: how far it is.
      blocks: of each block of chunks how many of them are done, and the counts of these.
      next: asks for the following page; empty if this is the last.
    """

    status: RunStatus
    blocks: Sequence[tuple[Box, int, Mapping[str, int]]]
    next: str = ""


def coverage(service: IngestService, dataset: str, limit: int | None = None, after: str | None = None) -> Coverage:
    """What the audit that was started last has found so far, by blocks in the order of their names.

    The pages behind the first are of the audit that the first was of, whatever was started meanwhile.

    Args:
      service: has the runs.
      dataset: name of the dataset.
      limit: most blocks in the answer; None for all.
      after: `next` of the page before; None for the first.

    Raises:
      UnknownDatasetError: if the dataset is not configured.
      UnknownRunError: if there was no audit.
      BadRequestError: if `after` is none.
    """
    ledger = Ledger(service.store, service.datasets.get(dataset).l2cache_id, RunKind.AUDIT)
    run, behind = _begun_at(ledger, after)
    pieces, now_s = ledger.pieces(run), service.clock()
    names = sorted(name for name in pieces if name > behind)
    page = names if limit is None else names[:limit]
    blocks = []
    for name in page:
        progress = block_progress(pieces[name], run.retry_from)
        counts = {counted: round(count) for counted, count in progress.counts.items()}
        blocks.append((parse_block(name), progress.completed, counts))
    status = RunStatus.of_pieces(run, pieces, now_s, is_cancelled=ledger.is_cancelled(run))
    return Coverage(status, blocks, f"{run.run_id}/{page[-1]}" if len(page) < len(names) else "")


def _begun_at(ledger: Ledger, after: str | None) -> tuple[Run, str]:
    """The audit, and the name of the block that the page lies behind."""
    run_id, _, name = (after or "").partition("/")
    if after is not None and (not run_id or not name or len(after) > _LONGEST_POSITION):
        raise BadRequestError(f"after is no next of an earlier page: {after[:_LONGEST_POSITION]!r}")
    run = ledger.known().find(run_id or None)
    if run is None and run_id:
        raise UnknownRunError(f"table {ledger.table_id} has no audit {run_id}, which after names")
    if run is None:
        raise UnknownRunError(f"table {ledger.table_id} was not audited yet")
    if name:
        parse_block(name)
    return run, name
