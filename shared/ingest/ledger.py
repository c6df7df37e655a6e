"""Where runs and their progress are written down: marks beside the rows of the cache table.

    run/<run id>                                        the run, in its present generation
    head/run                                            the run that was started or resumed last, and by which request
    cancelled/<run id>/<generation>                     that generation was cancelled
    cancelled/<run id>/unreadable                       a run whose mark cannot be read was dismissed
    done/<run id>/<group>/<leaf block>:<first>-<stop>   a stretch of a leaf block's chunks that is done
    doing/<run id>/<group>/<leaf block>                 what a leaf that is at work has done so far

Those of another kind of run than ingests are the same behind the kind's name: `audit/run/<run id>`. So its runs are not
among the ingests, for versions that know only these either.

Marks are set-cells: writing one twice changes nothing. Their number grows with the leaf tasks, not with the chunks, and
those of a group of blocks lie together, so that all of them are read in a moment. Only `head/run` is written on a
condition: of several requests that change the runs of a table at the same time, one succeeds.

A mark that cannot be read hides no other: it is logged with its key and left out.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

from shared.documents.json_object import decode_object
from shared.errors import BadRequestError, UnknownRunError
from shared.ingest.blocks import block_name
from shared.ingest.kind import RunKind
from shared.ingest.progress import Piece
from shared.ingest.run import Run
from shared.telemetry.log import event, get_logger

if TYPE_CHECKING:
    from shared.geometry.grid import Box
    from shared.store.protocol import CacheStore

T = TypeVar("T")

GROUPS = 128
"""Few enough to be read at once, so many that leaves hardly ever write to the same row at a time."""

_DISMISSED = "unreadable"
_logger = get_logger("ingest")


@dataclass(frozen=True)
class KnownRuns:
    """The runs of one kind of a table at one moment.

    Attributes:
      readable: oldest first.
      unreadable: names of runs whose mark cannot be read, with the reason; those that were dismissed are left out.
      newest: the run that was started or resumed last, if that is known.
      head: the value of the mark that says so; None if there is none.
    """

    readable: tuple[Run, ...]
    unreadable: Mapping[str, str]
    newest: Run | None
    head: bytes | None

    @property
    def perhaps_running(self) -> tuple[Run, ...]:
        """The runs that can be going on: a run is started or resumed only when no other one is.

        Older versions started runs without saying which one is the newest.
        """
        since_s = -math.inf if self.newest is None else self.newest.begun_s
        return tuple(run for run in self.readable if run.begun_s >= since_s)

    def find(self, run_id: str | None) -> Run | None:
        """The run of that name, or the one started last if None; None if there is no such run."""
        if run_id is None:
            return max(self.perhaps_running, key=lambda run: (run.begun_s, run is self.newest), default=None)
        return next((run for run in self.readable if run.run_id == run_id), None)


@dataclass(frozen=True)
class BlockPieces:
    """What is done of a leaf block.

    Attributes:
      done: what leaf tasks have finished.
      doing: what a leaf had done that is at work, or died.
    """

    done: tuple[Piece, ...]
    doing: tuple[Piece, ...]

    @property
    def all(self) -> tuple[Piece, ...]:
        """Both."""
        return self.done + self.doing


@dataclass(frozen=True)
class Ledger:
    """The runs of one kind of one cache table. All methods raise what `CacheStore` raises.

    Attributes:
      store: the cache tables.
      table_id: the table.
      kind: of the runs.
    """

    store: CacheStore
    table_id: str
    kind: RunKind = RunKind.INGEST

    @classmethod
    def of_run(cls, store: CacheStore, run: Run) -> Ledger:
        """The ledger that a run stands in."""
        return cls(store, run.table_id, run.kind)

    @property
    def _place(self) -> str:
        """What the keys of all marks begin with."""
        return "" if self.kind is RunKind.INGEST else f"{self.kind.value}/"

    @property
    def _runs(self) -> str:
        return f"{self._place}run/"

    @property
    def _head(self) -> str:
        return f"{self._place}head/run"

    def known(self) -> KnownRuns:
        """All runs."""
        marks = self.store.read_marks(self.table_id, self._runs)
        head = self.store.read_marks(self.table_id, self._head).get(self._head)
        runs: dict[str, Run] = {}
        unreadable: dict[str, str] = {}
        for key, raw in marks.items():
            try:
                run = Run.from_json(raw)
            except BadRequestError as error:
                self._log_unreadable(key, error)
                unreadable[key.removeprefix(self._runs)] = str(error)
            else:
                runs[run.run_id] = run
        # Whoever wrote the head may have died, or not yet have come to write the run itself.
        newest = None if head is None else self._read(self._head, _run_of_head, head)
        if newest and (newest.run_id not in runs or runs[newest.run_id].generation < newest.generation):
            runs[newest.run_id] = newest
            unreadable.pop(newest.run_id, None)
        left = {run_id: reason for run_id, reason in unreadable.items() if not self._is_dismissed(run_id)}
        readable = tuple(sorted(runs.values(), key=lambda run: run.started_s))
        return KnownRuns(readable, left, runs.get(newest.run_id) if newest else None, head)

    def find(self, run_id: str | None) -> Run:
        """The run of that name, or the one started last if none is named.

        Raises:
          UnknownRunError: if there is no such run, or its mark cannot be read.
        """
        known = self.known()
        run = known.find(run_id)
        if run is not None:
            return run
        if run_id in known.unreadable:
            raise UnknownRunError(f"the mark of run {run_id} cannot be read; cancelling the run dismisses it")
        raise UnknownRunError(f"table {self.table_id} has no run {run_id or ''}".rstrip())

    def claim(self, run: Run, known: KnownRuns) -> bool:
        """Writes a run down, in place of its earlier generation, unless somebody else changed the runs meanwhile.

        Args:
          run: the run, new or in a new generation.
          known: the runs as they were when it was decided.

        Returns:
          Whether it was written. Of several at a time one is.
        """
        head = json.dumps({"claim": secrets.token_hex(16), "run": run.document()}).encode()
        if not self.store.replace_mark(self.table_id, self._head, known.head, head):
            return False
        self.write_run(run)
        return True

    def write_run(self, run: Run) -> None:
        """Writes a run down, in place of its earlier generation."""
        self.store.write_marks(self.table_id, {self._runs + run.run_id: run.to_json()})

    def cancel(self, run: Run, now_s: float) -> None:
        """Writes down that this generation of a run is cancelled."""
        self._write_cancelled(run.run_id, str(run.generation), now_s)

    def dismiss(self, run_id: str, now_s: float) -> None:
        """Writes down that a run whose mark cannot be read is of no interest any more."""
        self._write_cancelled(run_id, _DISMISSED, now_s)

    def is_cancelled(self, run: Run) -> bool:
        """Whether this generation of a run was cancelled."""
        key = f"{self._cancelled_prefix(run.run_id)}{run.generation}"
        return key in self.store.read_marks(self.table_id, key)

    def is_current(self, run: Run) -> bool:
        """Whether a task's run is still to be worked on: neither cancelled nor resumed with new tasks since."""
        key = self._runs + run.run_id
        raw = self.store.read_marks(self.table_id, key).get(key)
        newest = None if raw is None else self._read(key, Run.from_json, raw)
        if newest is None and raw is not None and self._is_dismissed(run.run_id):
            return False
        return (newest is None or newest.generation <= run.generation) and not self.is_cancelled(run)

    def add_pieces(self, run: Run, block: Box, pieces: Iterable[Piece]) -> None:
        """Writes down what is done of a leaf block."""
        prefix = self._block_prefix(run, block)
        marks = {f"{prefix}:{piece.first}-{piece.stop}": piece.to_json() for piece in pieces}
        if marks:
            self.store.write_marks(self.table_id, marks)

    def set_doing(self, run: Run, block: Box, pieces: Iterable[Piece]) -> None:
        """Writes down what a leaf has done so far, in the place of what was; removes that if there is nothing."""
        stretches = [{"first": piece.first, "stop": piece.stop, **piece.document()} for piece in pieces]
        value = json.dumps(stretches).encode() if stretches else None
        self.store.write_marks(self.table_id, {self._block_prefix(run, block, "doing"): value})

    def block_pieces(self, run: Run, block: Box) -> BlockPieces:
        """What is done of a leaf block; chunks whose rows lack attributes of the run are not."""
        prefix, key = f"{self._block_prefix(run, block)}:", self._block_prefix(run, block, "doing")
        done = self.store.read_marks(self.table_id, prefix)
        doing = self.store.read_marks(self.table_id, key)
        return BlockPieces(
            tuple(piece for key, raw in done.items() for piece in self._read_pieces(run, key, _piece_reader(key), raw)),
            tuple(self._read_pieces(run, key, _doing, doing[key])) if key in doing else (),
        )

    def pieces(self, run: Run, group: int | None = None) -> dict[str, list[Piece]]:
        """What is done of a run, by the names of its leaf blocks; chunks whose rows lack its attributes are not.

        Args:
          run: the run.
          group: only blocks of that group, see `group_of`; all if None.
        """
        below = f"{run.run_id}/" if group is None else f"{run.run_id}/{group:02x}/"
        blocks: dict[str, list[Piece]] = {}
        for key, raw in self.store.read_marks(self.table_id, f"{self._place}done/{below}").items():
            block = key.rpartition("/")[2].partition(":")[0]
            blocks.setdefault(block, []).extend(self._read_pieces(run, key, _piece_reader(key), raw))
        for key, raw in self.store.read_marks(self.table_id, f"{self._place}doing/{below}").items():
            blocks.setdefault(key.rpartition("/")[2], []).extend(self._read_pieces(run, key, _doing, raw))
        return blocks

    def _read_pieces(self, run: Run, key: str, read: Callable[[bytes], list[Piece]], raw: bytes) -> list[Piece]:
        return [piece for piece in self._read(key, read, raw) or () if piece.has(run.attributes)]

    def _read(self, key: str, read: Callable[[bytes], T], raw: bytes) -> T | None:
        """What `read` makes of a mark's value; None, after it was logged, if it cannot be read."""
        try:
            return read(raw)
        except (BadRequestError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._log_unreadable(key, error)
            return None

    def _log_unreadable(self, key: str, error: Exception) -> None:
        fields = {"table": self.table_id, "mark": key, "reason": str(error), "error": type(error).__name__}
        event(_logger, logging.ERROR, "mark cannot be read", **fields)

    def _write_cancelled(self, run_id: str, what: str, now_s: float) -> None:
        value = json.dumps({"cancelled_s": now_s}).encode()
        self.store.write_marks(self.table_id, {f"{self._cancelled_prefix(run_id)}{what}": value})

    def _is_dismissed(self, run_id: str) -> bool:
        key = f"{self._cancelled_prefix(run_id)}{_DISMISSED}"
        return key in self.store.read_marks(self.table_id, key)

    def _cancelled_prefix(self, run_id: str) -> str:
        return f"{self._place}cancelled/{run_id}/"

    def _block_prefix(self, run: Run, block: Box, what: str = "done") -> str:
        name = block_name(block)
        return f"{self._place}{what}/{run.run_id}/{group_of(name):02x}/{name}"


def group_of(name: str) -> int:
    """The group that the marks of a block lie in, by the block's name: below `GROUPS`."""
    return crc32(name.encode()) % GROUPS


def _run_of_head(raw: bytes) -> Run:
    return Run.from_json(decode_object(raw, "the head of the runs")["run"])


def _piece_reader(key: str) -> Callable[[bytes], list[Piece]]:
    def read(raw: bytes) -> list[Piece]:
        first, stop = key.rpartition(":")[2].split("-")
        return [Piece.from_json(int(first), int(stop), raw)]

    return read


def _doing(raw: bytes) -> list[Piece]:
    return [Piece.from_document(stretch["first"], stretch["stop"], stretch) for stretch in json.loads(raw)]
