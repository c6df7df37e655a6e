"""What the marks of a run add up to.

A mark says of a stretch of a leaf block's chunks that they are done, but for those that it lists as failed. Marks are
only ever added: what is known of a chunk is the best that any mark says of it, whatever the order in which the marks
came, and however often a leaf was delivered.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from shared.documents.json_object import decode_object
from shared.ingest.run import Run

RATE_WINDOW_S = 60.0
RATE_PIECES = 16


@dataclass(frozen=True)
class Piece:
    """The chunks of a leaf block numbered from `first` up to `stop`, which a leaf task has done.

    Attributes:
      first: number of the first chunk.
      stop: number of the chunk after the last.
      rows: how many were written for them.
      busy_s: how long it took.
      finished_s: when it was done, Unix time.
      generation: of the run, then.
      failed: numbers of the chunks among them that failed for good, with the reason.
      foreign_supervoxels: supervoxels of these chunks that the graph gives to nodes of other chunks, and left out here.
      attributes: what the rows have beside the attributes of PCGL2Cache.
      counts: what work of another kind than an ingest has counted in these chunks, by name.
      notes: what such work has to tell of some of them, for people.

    Of a leaf block of 8 chunks, the first five were done, one of which failed:

    >>> done = Piece(first=0, stop=5, rows=480, busy_s=4.1, finished_s=1780272070.0,
    ...              failed={3: "the process died (SIGSEGV) while reading the chunk"})
    >>> open_numbers([done], volume=8, retry_from=0)
    [5, 6, 7]

    Pieces are only ever added, in any order. What is known of a chunk is the best that any piece says of it, and one
    that is in two of them counts once:

    >>> rest = Piece(first=3, stop=8, rows=500, busy_s=4.0, finished_s=1780272080.0, generation=1)
    >>> progress = block_progress([rest, done], retry_from=1)
    >>> (progress.completed, dict(progress.failed), progress.rows)
    (8, {}, 880.0)
    """

    first: int
    stop: int
    rows: int
    busy_s: float
    finished_s: float
    generation: int = 0
    failed: Mapping[int, str] = field(default_factory=dict)
    foreign_supervoxels: int = 0
    attributes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def has(self, attributes: Sequence[str]) -> bool:
        """Whether its rows have all of these attributes, which are none of PCGL2Cache's."""
        return not attributes or set(attributes).issubset(self.attributes)

    @property
    def is_whole(self) -> bool:
        """Whether none of its chunks failed."""
        return not self.failed

    def to_json(self) -> bytes:
        """The mark's value; `first` and `stop` are in its key."""
        return json.dumps(self.document()).encode()

    def document(self) -> dict[str, Any]:
        """The same in JSON's types."""
        by_reason: dict[str, list[int]] = {}
        for number, reason in sorted(self.failed.items()):
            by_reason.setdefault(reason, []).append(number)
        document = {
            "nodes": self.rows,
            "busy_s": round(self.busy_s, 3),
            "finished_s": self.finished_s,
            "generation": self.generation,
            "failed": by_reason,
        }
        if self.foreign_supervoxels:
            document["foreign_supervoxels"] = self.foreign_supervoxels
        if self.attributes:
            document["attributes"] = list(self.attributes)
        if self.counts:
            document["counts"] = dict(self.counts)
        if self.notes:
            document["notes"] = list(self.notes)
        return document

    @classmethod
    def from_json(cls, first: int, stop: int, raw: bytes) -> Piece:
        """The inverse of `to_json`. What is no piece raises BadRequestError, ValueError, KeyError, TypeError or
        AttributeError.
        """
        try:
            document = orjson.loads(raw)  # there may be tens of thousands
        except orjson.JSONDecodeError:
            document = decode_object(raw, "a mark of progress")
        return cls.from_document(first, stop, document)

    @classmethod
    def from_document(cls, first: int, stop: int, value: Mapping[str, Any]) -> Piece:
        """The inverse of `document`; raises as `from_json`."""
        failed = {int(number): str(reason) for reason, numbers in value["failed"].items() for number in numbers}
        return cls(
            first=first,
            stop=stop,
            rows=int(value["nodes"]),
            busy_s=float(value["busy_s"]),
            finished_s=float(value["finished_s"]),
            generation=int(value["generation"]),
            failed=failed,
            foreign_supervoxels=int(value.get("foreign_supervoxels", 0)),
            attributes=tuple(map(str, value.get("attributes", ()))),
            counts={str(name): int(count) for name, count in value.get("counts", {}).items()},
            notes=tuple(map(str, value.get("notes", ()))),
        )


@dataclass(frozen=True)
class BlockProgress:
    """How far a leaf block is.

    Attributes:
      completed: how many of its chunks have their rows.
      failed: numbers of the chunks that failed for good, with the reason.
      rows: how many were written.
      foreign_supervoxels: see `Piece`.
      retrying: numbers of the chunks that failed in a generation before and are to be done again, with the reason.
      counts: see `Piece`.
      notes: see `Piece`.
    """

    completed: int
    failed: Mapping[int, str]
    rows: float
    foreign_supervoxels: float = 0.0
    retrying: Mapping[int, str] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def closed(self) -> int:
        """How many of its chunks need no more work."""
        return self.completed + len(self.failed)


def block_progress(pieces: Sequence[Piece], retry_from: int) -> BlockProgress:
    """How far a leaf block is.

    Args:
      pieces: of that block.
      retry_from: what failed in an earlier generation is to be done again, so it does not count as failed.
    """
    if len(pieces) == 1 and pieces[0].is_whole:
        (piece,) = pieces
        done = piece.stop - piece.first
        return BlockProgress(done, {}, piece.rows, piece.foreign_supervoxels, counts=piece.counts, notes=piece.notes)
    states = _states(pieces)
    lasting = {number: reason for number, (generation, reason) in states.failed.items() if generation >= retry_from}
    retrying = {number: reason for number, (generation, reason) in states.failed.items() if generation < retry_from}
    notes = tuple(dict.fromkeys(note for piece in pieces for note in piece.notes))
    completed, foreign = len(states.completed), states.foreign_supervoxels
    return BlockProgress(completed, lasting, states.rows, foreign, retrying, states.counts, notes)


def open_numbers(pieces: Sequence[Piece], volume: int, retry_from: int) -> list[int]:
    """Numbers of the chunks of a leaf block of `volume` chunks that are still to be done, ascending."""
    states = _states(pieces)
    closed = states.completed | {n for n, (generation, _) in states.failed.items() if generation >= retry_from}
    return [number for number in range(volume) if number not in closed]


def completed_numbers(pieces: Sequence[Piece]) -> list[int]:
    """Numbers of the chunks of a leaf block whose rows are written, ascending."""
    return sorted(_states(pieces).completed)


class _States(NamedTuple):
    """The completed chunks, the failed ones with generation and reason, and counts in which no chunk is twice."""

    completed: set[int]
    failed: dict[int, tuple[int, str]]
    rows: float
    foreign_supervoxels: float
    counts: Mapping[str, float]


def _states(pieces: Sequence[Piece]) -> _States:
    completed: set[int] = set()
    failed: dict[int, tuple[int, str]] = {}
    rows = foreign_supervoxels = 0.0
    counts: dict[str, float] = {}
    for piece in sorted(pieces, key=lambda piece: (piece.generation, piece.finished_s, piece.first)):
        good = set(range(piece.first, piece.stop)).difference(piece.failed)
        if good:
            # Two deliveries may have done overlapping stretches: what they counted is taken as spread evenly.
            new_share = len(good - completed) / len(good)
            rows += piece.rows * new_share
            foreign_supervoxels += piece.foreign_supervoxels * new_share
            add_counts(counts, piece.counts, new_share)
        completed |= good
        failed.update({number: (piece.generation, reason) for number, reason in piece.failed.items()})
    lasting = {number: why for number, why in failed.items() if number not in completed}
    return _States(completed, lasting, rows, foreign_supervoxels, counts)


def add_counts(total: dict[str, float], counts: Mapping[str, float], share: float = 1.0) -> None:
    """Adds counts, or a share of each, to those of the same names."""
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count * share


class RunState(StrEnum):
    """What a run is doing."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
      run: the run.
      state: what it is doing.
      completed_chunks: chunks whose rows are written.
      failed_chunks: chunks that failed for good.
      rows: how many were written.
      chunks_per_s: lately while it is running; over the whole run once it is finished.
      foreign_supervoxels: supervoxels of the volume that the graph gives to nodes of other chunks; they were left out.
      retrying: how many chunks that failed in an earlier generation are still to be done again, by the reason for which
        they failed.
      counts: see `Piece`; of all chunks together.
      notes: see `Piece`; of some chunks, in the order of blocks.
    """

    run: Run
    state: RunState
    completed_chunks: int
    failed_chunks: int
    rows: int
    chunks_per_s: float
    foreign_supervoxels: int = 0
    retrying: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def total_chunks(self) -> int:
        """All chunks of the run."""
        return self.run.block.volume

    @property
    def finished(self) -> bool:
        """Whether every chunk is either completed or failed."""
        return self.state is RunState.FINISHED

    @property
    def time_left_s(self) -> float | None:
        """Seconds until it is finished at the present rate; None while there is none."""
        left = self.total_chunks - self.completed_chunks - self.failed_chunks
        if self.finished:
            return 0.0
        return left / self.chunks_per_s if self.chunks_per_s and self.state is RunState.RUNNING else None

    @classmethod
    def of_pieces(
        cls, run: Run, pieces: Mapping[str, Sequence[Piece]], now_s: float, *, is_cancelled: bool
    ) -> RunStatus:
        """The status that a run's pieces, by leaf block, add up to at a moment (Unix time)."""
        blocks = [block_progress(block, run.retry_from) for block in pieces.values()]
        completed, failed = sum(block.completed for block in blocks), sum(len(block.failed) for block in blocks)
        state = RunState.CANCELLED if is_cancelled else RunState.RUNNING
        if completed + failed >= run.block.volume:
            state = RunState.FINISHED
        rate = _rate(run, [piece for block in pieces.values() for piece in block], now_s, state)
        rows, foreign = sum(block.rows for block in blocks), sum(block.foreign_supervoxels for block in blocks)
        retrying = Counter(reason for block in blocks for reason in block.retrying.values())
        total: dict[str, float] = {}
        for block in blocks:
            add_counts(total, block.counts)
        counts = {name: round(count) for name, count in total.items()}
        notes = tuple(note for block in blocks for note in block.notes)
        return cls(run, state, completed, failed, round(rows), rate, round(foreign), retrying, counts, notes)


def _rate(run: Run, pieces: Iterable[Piece], now_s: float, state: RunState) -> float:
    newest_first = sorted(pieces, key=lambda piece: piece.finished_s, reverse=True)
    if not newest_first:
        return 0.0
    if state is RunState.FINISHED:
        return run.block.volume / max(newest_first[0].finished_s - run.started_s, 0.001)
    # Large leaves end rarely: the window is a minute, or as long as it takes to hold some.
    window_s = min(now_s - RATE_WINDOW_S, newest_first[: RATE_PIECES + 1][-1].finished_s)
    start_s = max(window_s, run.started_s, run.resumed_s)
    recent = sum(piece.stop - piece.first for piece in newest_first if piece.finished_s >= start_s)
    return recent / max(now_s - start_s, 0.001)
