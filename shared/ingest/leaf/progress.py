"""What a delivery of a leaf task has done, written down as it goes: a death costs no more than the last seconds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from shared.errors import TransientError
from shared.ingest.leaf.pipeline import ChunkResult
from shared.ingest.progress import Piece
from shared.telemetry.log import event, get_logger

if TYPE_CHECKING:
    from shared.ingest.ledger import Ledger
    from shared.ingest.task import BlockTask

SAVE_INTERVAL_S = 2.0
SAVE_CHUNKS = 64
"""What is done is written down after so many seconds, or so many chunks if they come first."""

MOST_NOTES = 20
"""So many notes of a stretch are kept; the log has all of them."""

_logger = get_logger("ingest")


class LeafProgress:
    """The results of a delivery, in the order of the chunks.

    Args:
      ledger: where they are written down.
      task: the task.
      numbers: numbers of the block's chunks that are to be done, ascending.
      earlier: what an earlier delivery, which died, had done.
      clock: Unix time.
      elapsed: seconds that never go back.
      attributes: what its rows have beside the attributes of PCGL2Cache.
    """

    def __init__(
        self,
        ledger: Ledger,
        task: BlockTask,
        numbers: Sequence[int],
        earlier: Sequence[Piece],
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        attributes: tuple[str, ...] = (),
    ) -> None:
        self._ledger, self._task, self._numbers, self._earlier = ledger, task, numbers, tuple(earlier)
        self._clock, self._elapsed, self._attributes = clock, elapsed, attributes
        self._start_s = self._saved_s = elapsed()
        self._unsaved = 0
        self._is_saved = bool(earlier)
        self.results: list[ChunkResult] = []

    def add(self, result: ChunkResult) -> None:
        """Takes the result of the next chunk, and writes down what is done if it is time.

        Raises:
          StorageUnavailableError: if that cannot be written.
        """
        self.results.append(result)
        self._unsaved += _is_settled(result)
        if self._unsaved >= SAVE_CHUNKS or self._elapsed() >= self._saved_s + SAVE_INTERVAL_S:
            self.save()

    def replace(self, newer: Sequence[ChunkResult]) -> None:
        """Puts results of further tries in the place of the first ones."""
        by_chunk = {result.chunk: result for result in newer}
        self.results = [by_chunk.get(result.chunk, result) for result in self.results]
        self._unsaved += sum(map(_is_settled, newer))

    def save(self) -> None:
        """Writes down what is done so far, but for what may still be tried again.

        Raises:
          StorageUnavailableError: if that cannot be written.
        """
        if self._unsaved:
            self._ledger.set_doing(self._task.run, self._task.block, [*self._earlier, *self._pieces(_is_settled)])
            self._is_saved, self._unsaved = True, 0
        self._saved_s = self._elapsed()

    def finish(self) -> list[Piece]:
        """Writes down everything for good, and says in the log what failed; the stretches that this delivery did.

        Raises:
          StorageUnavailableError: if that cannot be written.
        """
        for result in self.results:
            if result.error is not None:
                kind = type(result.error).__name__
                event(_logger, logging.ERROR, "chunk failed", chunk=result.chunk, reason=str(result.error), error=kind)
        pieces = self._pieces(lambda _: True)
        self._ledger.add_pieces(self._task.run, self._task.block, [*self._earlier, *pieces])
        if self._is_saved:
            self._ledger.set_doing(self._task.run, self._task.block, [])
        return pieces

    def _pieces(self, chosen: Callable[[ChunkResult], bool]) -> list[Piece]:
        """Stretches of consecutive numbers of chunks, out of those with a chosen result."""
        done = [pair for pair in zip(self._numbers, self.results, strict=False) if chosen(pair[1])]
        borders = [i for i in range(1, len(done)) if done[i][0] != done[i - 1][0] + 1]
        stretches = [done[i:j] for i, j in zip([0, *borders], [*borders, len(done)], strict=True)] if done else []
        now_s, busy_s = self._clock(), self._elapsed() - self._start_s
        return [
            Piece(
                first=stretch[0][0],
                stop=stretch[-1][0] + 1,
                rows=sum(result.rows for _, result in stretch),
                busy_s=busy_s * len(stretch) / len(done),
                finished_s=now_s,
                generation=self._task.run.generation,
                failed={number: str(result.error) for number, result in stretch if result.error is not None},
                foreign_supervoxels=sum(result.foreign_supervoxels for _, result in stretch),
                attributes=self._attributes,
                counts=_sums(result.counts for _, result in stretch),
                notes=tuple(note for _, result in stretch for note in result.notes)[:MOST_NOTES],
            )
            for stretch in stretches
        ]


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for some in counts:
        total.update(some)
    return dict(total)


def _is_settled(result: ChunkResult) -> bool:
    return not isinstance(result.error, TransientError)
