"""Where runs and their progress are written down: marks beside the rows of the cache table.

    run/<run id>                                        the run, in its present generation
    cancelled/<run id>/<generation>                     that generation was cancelled
    done/<run id>/<group>/<leaf block>:<first>-<stop>   a stretch of a leaf block's chunks that is done

Marks are set-cells: writing one twice changes nothing. Their number grows with the leaf tasks, not with the chunks, and
those of a group of blocks lie together, so that all of them are read in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from shared.errors import UnknownRunError
from shared.ingest.blocks import block_name
from shared.ingest.progress import Piece
from shared.ingest.run import Run

if TYPE_CHECKING:
    from shared.geometry import Box
    from shared.store import CacheStore

GROUPS = 128
"""Few enough to be read at once, so many that leaves hardly ever write to the same row at a time."""

_RUNS = "run/"


@dataclass(frozen=True)
class Ledger:
    """The runs of one cache table. All methods raise what `CacheStore` raises.

    Attributes:
      store: the cache tables.
      table_id: the table.
    """

    store: CacheStore
    table_id: str

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        marks = self.store.read_marks(self.table_id, _RUNS)
        return sorted((Run.from_json(raw) for raw in marks.values()), key=lambda run: run.started_s)

    def find(self, run_id: str | None) -> Run:
        """The run of that name, or the one started last if none is named.

        Raises:
          UnknownRunError: if there is no such run.
        """
        chosen = [run for run in self.runs() if run_id in (None, run.run_id)]
        if not chosen:
            raise UnknownRunError(
                f"table {self.table_id} has no run {run_id}" if run_id else f"table {self.table_id} has no run"
            )
        return chosen[-1]

    def write_run(self, run: Run) -> None:
        """Writes a run down, in place of its earlier generation."""
        self.store.write_marks(self.table_id, {_RUNS + run.run_id: run.to_json()})

    def cancel(self, run: Run, now_s: float) -> None:
        """Writes down that this generation of a run is cancelled."""
        value = json.dumps({"cancelled_s": now_s}).encode()
        self.store.write_marks(self.table_id, {f"{_cancelled_prefix(run)}{run.generation}": value})

    def is_cancelled(self, run: Run) -> bool:
        """Whether this generation of a run was cancelled."""
        key = f"{_cancelled_prefix(run)}{run.generation}"
        return key in self.store.read_marks(self.table_id, key)

    def is_current(self, run: Run) -> bool:
        """Whether a task's run is still to be worked on: neither cancelled nor resumed with new tasks since."""
        key = _RUNS + run.run_id
        raw = self.store.read_marks(self.table_id, key).get(key)
        return (raw is None or Run.from_json(raw).generation <= run.generation) and not self.is_cancelled(run)

    def add_pieces(self, run: Run, block: Box, pieces: Iterable[Piece]) -> None:
        """Writes down what is done of a leaf block."""
        prefix = _block_prefix(run, block)
        marks = {f"{prefix}{piece.first}-{piece.stop}": piece.to_json() for piece in pieces}
        if marks:
            self.store.write_marks(self.table_id, marks)

    def block_pieces(self, run: Run, block: Box) -> list[Piece]:
        """What is done of a leaf block."""
        prefix = _block_prefix(run, block)
        marks = self.store.read_marks(self.table_id, prefix)
        return [_piece(key.removeprefix(prefix), raw) for key, raw in marks.items()]

    def pieces(self, run: Run) -> dict[str, list[Piece]]:
        """What is done of a run, by the names of its leaf blocks."""
        return _by_block(self.store.read_marks(self.table_id, _done_prefix(run)))


def _cancelled_prefix(run: Run) -> str:
    return f"cancelled/{run.run_id}/"


def _done_prefix(run: Run) -> str:
    return f"done/{run.run_id}/"


def _block_prefix(run: Run, block: Box) -> str:
    name = block_name(block)
    return f"{_done_prefix(run)}{crc32(name.encode()) % GROUPS:02x}/{name}:"


def _by_block(marks: Mapping[str, bytes]) -> dict[str, list[Piece]]:
    blocks: dict[str, list[Piece]] = {}
    for key, raw in marks.items():
        block, _, stretch = key.rpartition("/")[2].partition(":")
        blocks.setdefault(block, []).append(_piece(stretch, raw))
    return blocks


def _piece(stretch: str, raw: bytes) -> Piece:
    first, stop = stretch.split("-")
    return Piece.from_json(int(first), int(stop), raw)
