"""Dead letters of the local stack, in the SQLite file of its bus and queue."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

from l2cache.deadletters.letter import Letter
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import MESSAGE_KINDS, DeadLetter


class EmbeddedLetterBox:
    """The `LetterBox` of a file, beside a running stack or not."""

    def __init__(self, file: Path) -> None:
        """The file must exist."""
        self._deliveries = Deliveries(file)

    def letters(self, limit: int) -> list[Letter]:
        """As `LetterBox.letters`."""
        return [_letter(dead) for dead in self._deliveries.dead_letters(limit)]

    def replay(self, ids: Collection[str], limit: int) -> int:
        """As `LetterBox.replay`."""
        known = {letter.id for letter in self.letters(limit)}
        wanted = known & set(ids) if ids else known
        return self._deliveries.replay(time.time(), map(int, wanted))


def _letter(dead: DeadLetter) -> Letter:
    lease = dead.lease
    if lease.kind in MESSAGE_KINDS:
        what = dict(lease.attributes)
        if lease.name:
            what["message_id"] = lease.name  # by which the log knows it
    else:
        what = {"task": lease.name, "path": lease.path}
    return Letter(str(lease.id), what, len(lease.body), str(lease.attempt), dead.reason)
