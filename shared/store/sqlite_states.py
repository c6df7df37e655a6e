"""States of ids in a SQLite file, in one table for all cache tables of the file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

from shared.sqlite.file import SQLiteFile
from shared.store.protocol import NodeState
from shared.store.sqlite_rows import json_ids, signed, unsigned
from shared.store.states import STATE_DAYS, since_ms
from shared.store.table_format import check_known
from shared.types import UInt64Array

STATES_SCHEMA = """
CREATE TABLE IF NOT EXISTS states (
  table_id TEXT NOT NULL, l2_id INTEGER NOT NULL, since_ms INTEGER NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (table_id, l2_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS states_by_age ON states (since_ms);
"""


class SQLiteStates:
    """Reads and writes them.

    Args:
      file: with `STATES_SCHEMA` in its schema.
    """

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file

    def write(self, table_id: str, states: Mapping[int, NodeState]) -> None:
        """As `CacheStore.write_states`; all or none of them."""
        check_known(table_id)
        rows = [(table_id, signed(l2_id), since_ms(state), state.name, state.reason) for l2_id, state in states.items()]
        oldest_ms = time.time_ns() // 1_000_000 - STATE_DAYS * 86_400_000

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO states (table_id, l2_id, since_ms, name, reason) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (table_id, l2_id) DO UPDATE SET since_ms = excluded.since_ms, name = excluded.name, "
                "reason = excluded.reason WHERE excluded.since_ms >= since_ms",
                rows,
            )
            connection.execute("DELETE FROM states WHERE since_ms < ?", (oldest_ms,))

        if rows:
            self._file.write(work)

    def read(self, table_id: str, l2_ids: UInt64Array) -> dict[int, NodeState]:
        """As `CacheStore.read_states`."""
        check_known(table_id)
        wanted = json_ids(l2_ids)

        def work(connection: sqlite3.Connection) -> list[tuple[int, int, str, str]]:
            return connection.execute(
                "SELECT l2_id, since_ms, name, reason FROM json_each(?) AS wanted "
                "CROSS JOIN states ON table_id = ? AND l2_id = wanted.value",
                (wanted, table_id),
            ).fetchall()

        rows = self._file.read(work)
        return {unsigned(l2_id): NodeState(name, ms / 1000, reason) for l2_id, ms, name, reason in rows}
