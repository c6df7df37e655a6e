"""The rows of cache tables in a SQLite file, statement by statement; each is part of somebody's transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from shared.errors import TableNotFoundError
from shared.geometry.ids import node_key
from shared.sqlite.schema import columns_of
from shared.store.scan import IdRange
from shared.store.table_format import FAMILY, Cell
from shared.types import UInt64Array

ROWS_SCHEMA = """
CREATE TABLE IF NOT EXISTS tables (number INTEGER PRIMARY KEY, table_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS cells (
  table_number INTEGER NOT NULL, row_key BLOB NOT NULL, family TEXT NOT NULL, qualifier TEXT NOT NULL,
  timestamp_us INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (table_number, row_key, family, qualifier)
) WITHOUT ROWID;
"""


def signed(l2_id: int) -> int:
    """The id as SQLite's signed integer of the same 64 bits."""
    return l2_id - (1 << 64) if l2_id >> 63 else l2_id


def unsigned(number: int) -> int:
    """The inverse of `signed`."""
    return number % (1 << 64)


def unsigned_ids(texts: Iterable[str | None]) -> UInt64Array:
    """The ids, uint64[n], in texts of SQLite's signed integers with commas between them; None is a text of none."""
    text = ",".join(filter(None, texts))
    numbers = np.fromstring(text, dtype=np.int64, sep=",") if text else np.zeros(0, np.int64)
    return numbers.view(np.uint64)


def json_ids(l2_ids: UInt64Array) -> str:
    """The distinct ids, ascending, as JSON of SQLite's signed integers."""
    wanted = np.unique(np.asarray(l2_ids, dtype=np.uint64)).view(np.int64)
    return f"[{','.join(map(str, wanted.tolist()))}]"


def find_number(connection: sqlite3.Connection, table_id: str) -> int | None:
    """The number of a cache table; None if there is none."""
    row = connection.execute("SELECT number FROM tables WHERE table_id = ?", (table_id,)).fetchone()
    return None if row is None else int(row[0])


def number_of(connection: sqlite3.Connection, table_id: str) -> int:
    """The number of a cache table.

    Raises:
      TableNotFoundError: if there is none.
    """
    number = find_number(connection, table_id)
    if number is None:
        raise TableNotFoundError(f"there is no cache table {table_id[:60]}")
    return number


def rows_table(connection: sqlite3.Connection, table_id: str) -> str:
    """Name of the SQLite table with the nodes' rows; it has no letter of `table_id` in it."""
    return f"rows_{number_of(connection, table_id)}"


def listed(names: Iterable[str]) -> str:
    """The names of columns for a statement; quoted, since an attribute may be called as a word of SQL."""
    return ", ".join(f'"{name}"' for name in names)


def make_tables(connection: sqlite3.Connection, table_id: str, names: Iterable[str]) -> int:
    """Makes a cache table whose rows have columns of these attributes; its number."""
    number = connection.execute("INSERT INTO tables (table_id) VALUES (?)", (table_id,)).lastrowid
    columns = "".join(f', "{name}" BLOB' for name in names)
    connection.execute(f"CREATE TABLE rows_{number} (l2_id INTEGER PRIMARY KEY, written_us INTEGER NOT NULL{columns})")
    assert number is not None  # noqa: S101  # an INSERT has a row id
    return number


def put_rows(
    connection: sqlite3.Connection, table_id: str, names: Sequence[str], rows: Iterable[tuple[int | bytes, ...]]
) -> None:
    """Sets the cells of those names, leaving the others of a row; `rows` are (id, microseconds, *values)."""
    table = rows_table(connection, table_id)
    for name in sorted(set(names).difference(columns_of(connection, table))):
        connection.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" BLOB')
    connection.executemany(
        f"INSERT INTO {table} (l2_id, written_us, {listed(names)}) "  # noqa: S608  # our own names
        f"VALUES (?, ?{', ?' * len(names)}) "
        "ON CONFLICT (l2_id) DO UPDATE SET written_us = max(written_us, excluded.written_us), "
        + ", ".join(f'"{name}" = excluded."{name}"' for name in names),
        rows,
    )


def cell_value(
    connection: sqlite3.Connection, number: int, row_key: bytes, family: str, qualifier: str
) -> bytes | None:
    """The value of one of the cells that are in no node's row; None if there is none."""
    row = connection.execute(
        "SELECT value FROM cells WHERE table_number = ? AND row_key = ? AND family = ? AND qualifier = ?",
        (number, row_key, family, qualifier),
    ).fetchone()
    return None if row is None else bytes(row[0])


def count_others(connection: sqlite3.Connection, number: int, ranges: Sequence[IdRange]) -> Counter[str]:
    """How many cells beside those of attributes the rows of some ids have, by `family:qualifier`."""
    counts: Counter[str] = Counter()
    for first, last in ranges:
        found = connection.execute(
            "SELECT family || ':' || qualifier, count(*) FROM cells "
            "WHERE table_number = ? AND row_key BETWEEN ? AND ? GROUP BY 1",
            (number, node_key(first), node_key(last)),
        )
        counts.update(dict(found))
    return counts


def write_cells(
    connection: sqlite3.Connection, number: int, cells: Iterable[tuple[bytes, str, str, int, bytes]]
) -> None:
    """Writes cells that are in no node's row: (row key, family, qualifier, microseconds, value)."""
    connection.executemany(
        "INSERT OR REPLACE INTO cells (table_number, row_key, family, qualifier, timestamp_us, value) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        ((number, *cell) for cell in cells),
    )


def node_cells(row: tuple[int, int, *tuple[bytes | None, ...]], names: Sequence[str]) -> Iterator[Cell]:
    """The cells in a node's row: (id, microseconds, *values), None for a cell that is not there."""
    l2_id, written_us, *values = row
    key = node_key(unsigned(l2_id))
    for name, value in zip(names, values, strict=True):
        if value is not None:
            yield Cell(key, FAMILY, name, written_us, value)
