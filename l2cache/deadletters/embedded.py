"""Dead letters of the local stack, in the SQLite file of its bus and queue.

The file is `shared.sqlite.deliveries`'; what is known of it here is the table `deliveries` and its states.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from l2cache.deadletters.letter import Letter, LetterBoxError

T = TypeVar("T")

_LOCKED_S = 30.0
_MESSAGES = ("edit", "message")
_SELECT = (
    "SELECT id, kind, name, path, attributes, length(body), attempt, reason FROM deliveries "
    "WHERE state = 'dead' ORDER BY id LIMIT ?"
)
_REPLAY = (
    "UPDATE deliveries SET state = 'waiting', attempt = 0, due_s = ?, reason = '' "
    "WHERE state = 'dead' AND id IN (SELECT value FROM json_each(?))"
)

_Row = tuple[int, str, str, str, str, int, int, str]


class EmbeddedLetterBox:
    """The `LetterBox` of a file, beside a running stack or not."""

    def __init__(self, file: Path) -> None:
        """The file must exist."""
        self._uri = f"{file.resolve().as_uri()}?mode=rw"

    def letters(self, limit: int) -> list[Letter]:
        """As `LetterBox.letters`."""
        return [_letter(row) for row in self._do(lambda connection: connection.execute(_SELECT, (limit,)).fetchall())]

    def replay(self, ids: Collection[str], limit: int) -> int:
        """As `LetterBox.replay`."""
        known = {letter.id for letter in self.letters(limit)}
        wanted = json.dumps([int(letter_id) for letter_id in (known & set(ids) if ids else known)])
        return self._do(lambda connection: connection.execute(_REPLAY, (time.time(), wanted)).rowcount)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What a statement gives; durable when this returns.

        Raises:
          LetterBoxError: if the file is none of a stack's, or stays locked.
        """
        try:
            with closing(sqlite3.connect(self._uri, timeout=_LOCKED_S, isolation_level=None, uri=True)) as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise LetterBoxError(f"the file's dead letters cannot be reached: {error}") from error


def _letter(row: _Row) -> Letter:
    delivery_id, kind, name, path, attributes, n_bytes, attempt, reason = row
    if kind in _MESSAGES:
        what = dict(json.loads(attributes))
        if name:
            what["message_id"] = name  # by which the log knows it
    else:
        what = {"task": name, "path": path}
    return Letter(str(delivery_id), what, n_bytes, str(attempt), reason)
