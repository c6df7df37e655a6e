"""The failed chunks of a run, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import BadRequestError
from shared.ingest.blocks import chunk_at, parse_block
from shared.ingest.progress import Piece, block_progress
from shared.ingest.run import Run
from shared.types import Triple

_LONGEST_POSITION = 100  # a block's name and a number


@dataclass(frozen=True)
class FailedChunk:
    """A chunk that failed for good, and why."""

    chunk: Triple
    reason: str


@dataclass(frozen=True)
class FailedPage:
    """Some failed chunks.

    Attributes:
      chunks: in the order of blocks.
      next: asks for the following page; empty if this is the last.
    """

    chunks: Sequence[FailedChunk]
    next: str


def failed_page(run: Run, pieces: Mapping[str, Sequence[Piece]], limit: int, after: str) -> FailedPage:
    """The first `limit` failed chunks behind those of an earlier page.

    Args:
      run: the run.
      pieces: what is done of it, by the names of its leaf blocks.
      limit: most chunks in the page, at least 1.
      after: `next` of the page before; empty for the first page.

    Raises:
      BadRequestError: if `after` is none.
    """
    behind = _position(after)
    found: list[FailedChunk] = []
    last = ""
    for name in sorted(pieces):
        if behind and name < behind[0]:
            continue
        block = parse_block(name)
        for number, reason in sorted(block_progress(pieces[name], run.retry_from).failed.items()):
            if behind and (name, number) <= behind:
                continue
            if len(found) == limit:
                return FailedPage(found, last)
            found.append(FailedChunk(chunk_at(block, number), reason))
            last = f"{name}.{number}"
    return FailedPage(found, "")


def _position(after: str) -> tuple[str, int] | None:
    if not after:
        return None
    name, _, number = after.rpartition(".")
    if not name or not number.isdecimal() or len(after) > _LONGEST_POSITION:
        raise BadRequestError(f"after is no next of an earlier page: {after[:_LONGEST_POSITION]!r}")
    parse_block(name)
    return name, int(number)
