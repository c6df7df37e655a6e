"""What all instances remember of whole neurons, in a SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from shared.sqlite.file import SQLiteFile
from shared.store.states import STATE_DAYS
from shared.store.totals import TOTALS_KEPT
from shared.types import UInt64Array

_SCHEMA = """
CREATE TABLE IF NOT EXISTS totals (
  table_id TEXT NOT NULL, root TEXT NOT NULL, written_s INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (table_id, root)
);
CREATE INDEX IF NOT EXISTS totals_by_age ON totals (written_s);
"""
_KEPT_S = 86_400 * STATE_DAYS
_ROOTS_PER_READ = 500


class SQLiteTotals:
    """The `TotalsMemory` of a file, which may be the store's."""

    def __init__(
        self, path: Path, timeout_s: float = 1.0, kept: int = TOTALS_KEPT, clock: Callable[[], float] = time.time
    ) -> None:
        """Nothing is opened before the first use.

        Args:
          path: the file.
          timeout_s: how long to wait for others.
          kept: how many totals are kept, the newest ones.
          clock: Unix time.
        """
        self._file = SQLiteFile(path, _SCHEMA, timeout_s)
        self._kept = kept
        self._clock = clock

    def read(self, table_id: str, root_ids: UInt64Array) -> dict[int, bytes]:
        """As `TotalsMemory.read`."""
        roots = [str(root) for root in np.unique(root_ids).tolist()]
        since_s = int(self._clock()) - _KEPT_S

        def work(connection: sqlite3.Connection) -> dict[int, bytes]:
            found: dict[int, bytes] = {}
            for start in range(0, len(roots), _ROOTS_PER_READ):
                part = roots[start : start + _ROOTS_PER_READ]
                places = ",".join("?" * len(part))
                query = f"SELECT root, value FROM totals WHERE table_id = ? AND root IN ({places}) AND written_s >= ?"  # noqa: S608
                rows = connection.execute(query, (table_id, *part, since_s))
                found.update((int(root), value) for root, value in rows)
            return found

        return self._file.read(work) if roots else {}

    def write(self, table_id: str, values: Mapping[int, bytes]) -> None:
        """As `TotalsMemory.write`."""
        now_s = int(self._clock())
        rows = [(table_id, str(root), now_s, value) for root, value in values.items()]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("REPLACE INTO totals (table_id, root, written_s, value) VALUES (?, ?, ?, ?)", rows)
            connection.execute("DELETE FROM totals WHERE written_s < ?", (now_s - _KEPT_S,))
            (count,) = connection.execute("SELECT count(*) FROM totals").fetchone()
            if count > self._kept:
                oldest = "SELECT rowid FROM totals ORDER BY written_s, rowid LIMIT ?"
                connection.execute(f"DELETE FROM totals WHERE rowid IN ({oldest})", (count - self._kept,))  # noqa: S608

        if rows:
            self._file.write(work)

    def close(self) -> None:
        """As `TotalsMemory.close`."""
        self._file.close()
