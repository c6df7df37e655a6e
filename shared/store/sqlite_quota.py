"""Counters of what callers have had of a minute, in a SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from shared.sqlite.file import SQLiteFile
from shared.store.states import QUOTA_HOURS

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quota (
  minute INTEGER NOT NULL, counter TEXT NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (minute, counter)
) WITHOUT ROWID;
"""


class SQLiteCounters:
    """The `QuotaCounters` of a file, which may be the store's."""

    def __init__(self, path: Path, timeout_s: float = 0.3) -> None:
        """Nothing is opened before the first use.

        Args:
          path: the file.
          timeout_s: how long to wait for other writers.
        """
        self._file = SQLiteFile(path, _SCHEMA, timeout_s)

    def add(self, counter: str, minute: int, amount: int) -> int:
        """As `QuotaCounters.add`."""

        def work(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM quota WHERE minute < ?", (minute - 60 * QUOTA_HOURS,))
            (total,) = connection.execute(
                "INSERT INTO quota (minute, counter, total) VALUES (?, ?, ?) "
                "ON CONFLICT (minute, counter) DO UPDATE SET total = total + excluded.total RETURNING total",
                (minute, counter, amount),
            ).fetchone()
            return int(total)

        return self._file.write(work)

    def close(self) -> None:
        """As `QuotaCounters.close`."""
        self._file.close()
