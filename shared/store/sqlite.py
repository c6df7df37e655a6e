"""Cache tables in a SQLite file, for a laboratory with one machine.

The values are those of the public table format, byte for byte. A node's cells, of which only the newest counts, lie
side by side in one SQLite row under the id, with one time for all of them, so that thousands of nodes are one pass over
a B-tree; the few other rows (meta, version, marks) are kept cell by cell.

A table of an older version may lack columns of attributes: they are added by the first write that needs them, and read
as empty before.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shared.attributes import ATTRIBUTES, SIZE, VOXELLESS_SIZE, AttributeTable, feature_cells
from shared.errors import TableNotFoundError
from shared.geometry.ids import node_key
from shared.sqlite.file import SQLiteFile
from shared.sqlite.schema import columns_of
from shared.store.protocol import CachedCells, NodeState, TableMeta
from shared.store.rows import StoredRows, no_rows
from shared.store.scan import IdRange, ScannedIds, before_size, signed_ranges
from shared.store.sqlite_scan import RowScan
from shared.store.states import STATE_DAYS, since_ms
from shared.store.table_format import (
    FAMILY,
    MARK_FAMILY,
    META_KEY,
    META_QUALIFIER,
    Cell,
    check_known,
    check_table_id,
    decode_meta,
    first_cells,
    mark_place,
    mark_rows,
    marks_of,
    node_id,
)
from shared.types import UInt64Array

if TYPE_CHECKING:
    from shared.features.result import Features

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tables (number INTEGER PRIMARY KEY, table_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS cells (
  table_number INTEGER NOT NULL, row_key BLOB NOT NULL, family TEXT NOT NULL, qualifier TEXT NOT NULL,
  timestamp_us INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (table_number, row_key, family, qualifier)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states (
  table_id TEXT NOT NULL, l2_id INTEGER NOT NULL, since_ms INTEGER NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (table_id, l2_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS states_by_age ON states (since_ms);
"""
_BESIDE = ("l2_id", "written_us")
"""The columns of nodes' rows that are no attributes."""


class SQLiteStore:
    """The `CacheStore` of one file. Many processes and threads may write to it at once."""

    def __init__(self, path: Path, deadline_s: float = 30.0, attributes: AttributeTable = ATTRIBUTES) -> None:
        """Nothing is opened before the first use.

        Args:
          path: the file.
          deadline_s: how long to wait for other writers.
          attributes: what can be read.
        """
        self._file = SQLiteFile(path, _SCHEMA, deadline_s)
        self._attributes = attributes

    def create_table(self, table_id: str, meta: TableMeta) -> bool:
        """As `CacheStore.create_table`.

        Raises:
          ConfigurationError: if no table can have that name.
        """
        check_table_id(table_id)

        def work(connection: sqlite3.Connection) -> bool:
            if _find(connection, table_id) is not None:
                return False
            number = _make(connection, table_id, self._attributes.names)
            cells = first_cells(meta).items()
            _put_cells(connection, number, ((key, FAMILY, name, _now_us(), value) for key, (name, value) in cells))
            return True

        return self._file.write(work)

    def read_meta(self, table_id: str) -> TableMeta:
        """As `CacheStore.read_meta`."""

        def work(connection: sqlite3.Connection) -> bytes | None:
            return _cell(connection, _number(connection, table_id), META_KEY, FAMILY, META_QUALIFIER)

        return decode_meta(table_id, self._file.read(work))

    def read_cells(self, table_id: str, l2_ids: UInt64Array, attributes: Sequence[str]) -> CachedCells:
        """As `CacheStore.read_cells`."""
        names = [attribute.name for attribute in self._attributes.select(attributes)]
        wanted = _json_ids(l2_ids)

        def work(connection: sqlite3.Connection) -> list[tuple[int, *tuple[bytes, ...]]]:
            rows = _rows(connection, table_id)
            there = columns_of(connection, rows)
            columns = "".join(f", ifnull(\"{name}\", x'')" if name in there else ", x''" for name in names)
            # CROSS JOIN makes the ids the outer loop: rows come in their order, each by one step in the B-tree
            return connection.execute(
                f"SELECT l2_id{columns} FROM json_each(?) AS wanted "  # noqa: S608  # our own column names
                f"CROSS JOIN {rows} ON l2_id = wanted.value",
                (wanted,),
            ).fetchall()

        rows = self._file.read(work)
        found, *values = zip(*rows, strict=True) if rows else [()] * (1 + len(names))
        ids = np.array(found, dtype=np.int64).view(np.uint64)
        return CachedCells(ids, dict(zip(names, values, strict=True)))

    def scan_ids(self, table_id: str, ranges: Sequence[IdRange]) -> ScannedIds:
        """As `CacheStore.scan_ids`."""
        wanted = signed_ranges(ranges)

        def work(connection: sqlite3.Connection) -> list[tuple[int, bool]]:
            rows = _rows(connection, table_id)
            there = columns_of(connection, rows)
            filled = "".join(f' AND "{one.name}" IS NULL' for one in before_size(self._attributes) if one.name in there)
            query = (
                f'SELECT l2_id, ifnull("{SIZE.name}" = ?{filled}, 0) '  # noqa: S608  # our own column names
                f"FROM {rows} WHERE l2_id BETWEEN ? AND ?"
            )
            found = (connection.execute(query, (VOXELLESS_SIZE, first, last)) for first, last in wanted)
            return [row for part in found for row in part]

        return ScannedIds.of((l2_id % (1 << 64), bool(empty)) for l2_id, empty in self._file.read(work))

    def scan_rows(self, table_id: str, ranges: Sequence[IdRange]) -> StoredRows:
        """As `CacheStore.scan_rows`."""
        if not ranges:
            return no_rows(self._attributes)

        def work(connection: sqlite3.Connection) -> StoredRows:
            number, rows = _number(connection, table_id), _rows(connection, table_id)
            there = columns_of(connection, rows)
            scan = RowScan(rows, self._attributes, [name for name in there if name not in _BESIDE])
            found = scan.read(connection, signed_ranges(ranges))
            return replace(found, others=Counter(found.others) + _count_others(connection, number, ranges))

        return self._file.read(work)

    def write_rows(self, table_id: str, rows: StoredRows) -> None:
        """As `CacheStore.write_rows`; all rows or none of them."""
        by_names: dict[tuple[str, ...], list[tuple[int | bytes, ...]]] = {}
        for l2_id, written_us, cells in rows.rows():
            by_names.setdefault(tuple(cells), []).append((_signed(l2_id), written_us, *cells.values()))

        def work(connection: sqlite3.Connection) -> None:
            for names, alike in by_names.items():
                _put_rows(connection, table_id, names, alike)

        self._file.write(work)

    def write_features(self, table_id: str, features: Features) -> None:
        """As `CacheStore.write_features`; all rows or none of them."""
        now_us, names = _now_us(), features.table.names
        rows: list[tuple[int | bytes, ...]] = [
            (_signed(l2_id), now_us, *map(cells.__getitem__, names)) for l2_id, cells in feature_cells(features)
        ]
        self._file.write(lambda connection: _put_rows(connection, table_id, names, rows))

    def write_voxelless(self, table_id: str, l2_ids: UInt64Array) -> None:
        """As `CacheStore.write_voxelless`; all rows or none of them."""
        now_us = _now_us()
        rows = [(_signed(l2_id), now_us, VOXELLESS_SIZE) for l2_id in l2_ids.tolist()]
        self._file.write(lambda connection: _put_rows(connection, table_id, (SIZE.name,), rows))

    def write_marks(self, table_id: str, marks: Mapping[str, bytes | None]) -> None:
        """As `CacheStore.write_marks`; all or none of them."""
        now_us = _now_us()
        places = [(mark_place(key), value) for key, value in marks.items()]
        cells = [(row_key, MARK_FAMILY, name, now_us, value) for (row_key, name), value in places if value is not None]
        removed = [place for place, value in places if value is None]

        def work(connection: sqlite3.Connection) -> None:
            number = _number(connection, table_id)
            _put_cells(connection, number, cells)
            connection.executemany(
                "DELETE FROM cells WHERE table_number = ? AND row_key = ? AND family = ? AND qualifier = ?",
                ((number, row_key, MARK_FAMILY, name) for row_key, name in removed),
            )

        self._file.write(work)

    def replace_mark(self, table_id: str, key: str, expected: bytes | None, value: bytes) -> bool:
        """As `CacheStore.replace_mark`."""
        row_key, name = mark_place(key)

        def work(connection: sqlite3.Connection) -> bool:
            number = _number(connection, table_id)
            if _cell(connection, number, row_key, MARK_FAMILY, name) != expected:
                return False
            _put_cells(connection, number, [(row_key, MARK_FAMILY, name, _now_us(), value)])
            return True

        return self._file.write(work)

    def read_marks(self, table_id: str, prefix: str) -> dict[str, bytes]:
        """As `CacheStore.read_marks`."""
        rows = mark_rows(prefix)

        def work(connection: sqlite3.Connection) -> list[tuple[bytes, str, bytes]]:
            return connection.execute(
                "SELECT row_key, qualifier, value FROM cells WHERE table_number = ? AND family = ? "
                "AND (row_key = ? OR row_key >= ? AND row_key < ?)",
                (_number(connection, table_id), MARK_FAMILY, rows.row, rows.start, rows.stop),
            ).fetchall()

        return marks_of(self._file.read(work), prefix)

    def write_states(self, table_id: str, states: Mapping[int, NodeState]) -> None:
        """As `CacheStore.write_states`; all or none of them."""
        check_known(table_id)
        rows = [
            (table_id, _signed(l2_id), since_ms(state), state.name, state.reason) for l2_id, state in states.items()
        ]
        oldest_ms = _now_us() // 1000 - STATE_DAYS * 86_400_000

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

    def read_states(self, table_id: str, l2_ids: UInt64Array) -> dict[int, NodeState]:
        """As `CacheStore.read_states`."""
        check_known(table_id)
        wanted = _json_ids(l2_ids)

        def work(connection: sqlite3.Connection) -> list[tuple[int, int, str, str]]:
            return connection.execute(
                "SELECT l2_id, since_ms, name, reason FROM json_each(?) AS wanted "
                "CROSS JOIN states ON table_id = ? AND l2_id = wanted.value",
                (wanted, table_id),
            ).fetchall()

        rows = self._file.read(work)
        return {l2_id % (1 << 64): NodeState(name, ms / 1000, reason) for l2_id, ms, name, reason in rows}

    def close(self) -> None:
        """As `CacheStore.close`."""
        self._file.close()

    def cells(self, table_id: str) -> list[Cell]:
        """Every cell of a table by row key, family, qualifier; those of a node have the time of its newest."""

        def work(connection: sqlite3.Connection) -> list[Cell]:
            number, rows = _number(connection, table_id), _rows(connection, table_id)
            names = [name for name in columns_of(connection, rows) if name not in _BESIDE]
            others = connection.execute(
                "SELECT row_key, family, qualifier, timestamp_us, value FROM cells WHERE table_number = ?", (number,)
            )
            nodes = connection.execute(f"SELECT l2_id, written_us, {_listed(names)} FROM {rows}")  # noqa: S608
            return [Cell(*row) for row in others] + [cell for row in nodes for cell in _node_cells(row, names)]

        return sorted(self._file.read(work), key=lambda cell: (cell.row_key, cell.family, cell.qualifier))

    def put_cells(self, table_id: str, cells: Iterable[Cell]) -> None:
        """Writes cells as they are, making the table if there is none; of several versions given the newest stays.

        Raises:
          ConfigurationError: if no table can have that name.
        """
        check_table_id(table_id)
        columns: dict[str, list[tuple[int | bytes, ...]]] = {}
        names = set(self._attributes.names)
        others = []
        for cell in sorted(cells, key=lambda cell: cell.timestamp_us):
            is_of_node = cell.family == FAMILY and cell.qualifier in names
            l2_id = node_id(cell.row_key) if is_of_node else None
            if l2_id is None:
                others.append((cell.row_key, cell.family, cell.qualifier, cell.timestamp_us, cell.value))
            else:
                columns.setdefault(cell.qualifier, []).append((_signed(l2_id), cell.timestamp_us, cell.value))

        def work(connection: sqlite3.Connection) -> None:
            number = _find(connection, table_id)
            if number is None:
                number = _make(connection, table_id, self._attributes.names)
            _put_cells(connection, number, others)
            for name, rows in columns.items():
                _put_rows(connection, table_id, (name,), rows)

        self._file.write(work)


def _now_us() -> int:
    return time.time_ns() // 1_000_000 * 1000


def _signed(l2_id: int) -> int:
    """The id as SQLite's signed integer of the same 64 bits."""
    return l2_id - (1 << 64) if l2_id >> 63 else l2_id


def _json_ids(l2_ids: UInt64Array) -> str:
    """The distinct ids, ascending, as JSON of SQLite's signed integers."""
    wanted = np.unique(np.asarray(l2_ids, dtype=np.uint64)).view(np.int64)
    return f"[{','.join(map(str, wanted.tolist()))}]"


def _find(connection: sqlite3.Connection, table_id: str) -> int | None:
    row = connection.execute("SELECT number FROM tables WHERE table_id = ?", (table_id,)).fetchone()
    return None if row is None else int(row[0])


def _number(connection: sqlite3.Connection, table_id: str) -> int:
    number = _find(connection, table_id)
    if number is None:
        raise TableNotFoundError(f"there is no cache table {table_id[:60]}")
    return number


def _rows(connection: sqlite3.Connection, table_id: str) -> str:
    """Name of the SQLite table with the nodes' rows; it has no letter of `table_id` in it."""
    return f"rows_{_number(connection, table_id)}"


def _listed(names: Iterable[str]) -> str:
    """The names of columns for a statement; quoted, since an attribute may be called as a word of SQL."""
    return ", ".join(f'"{name}"' for name in names)


def _make(connection: sqlite3.Connection, table_id: str, names: Iterable[str]) -> int:
    number = connection.execute("INSERT INTO tables (table_id) VALUES (?)", (table_id,)).lastrowid
    columns = "".join(f', "{name}" BLOB' for name in names)
    connection.execute(f"CREATE TABLE rows_{number} (l2_id INTEGER PRIMARY KEY, written_us INTEGER NOT NULL{columns})")
    assert number is not None  # noqa: S101  # an INSERT has a row id
    return number


def _put_rows(
    connection: sqlite3.Connection, table_id: str, names: Sequence[str], rows: Iterable[tuple[int | bytes, ...]]
) -> None:
    """Sets the cells of those names, leaving the others of a row; `rows` are (id, microseconds, *values)."""
    table = _rows(connection, table_id)
    for name in sorted(set(names).difference(columns_of(connection, table))):
        connection.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" BLOB')
    connection.executemany(
        f"INSERT INTO {table} (l2_id, written_us, {_listed(names)}) "  # noqa: S608  # our own names
        f"VALUES (?, ?{', ?' * len(names)}) "
        "ON CONFLICT (l2_id) DO UPDATE SET written_us = max(written_us, excluded.written_us), "
        + ", ".join(f'"{name}" = excluded."{name}"' for name in names),
        rows,
    )


def _cell(connection: sqlite3.Connection, number: int, row_key: bytes, family: str, qualifier: str) -> bytes | None:
    row = connection.execute(
        "SELECT value FROM cells WHERE table_number = ? AND row_key = ? AND family = ? AND qualifier = ?",
        (number, row_key, family, qualifier),
    ).fetchone()
    return None if row is None else bytes(row[0])


def _count_others(connection: sqlite3.Connection, number: int, ranges: Sequence[IdRange]) -> Counter[str]:
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


def _put_cells(
    connection: sqlite3.Connection, number: int, cells: Iterable[tuple[bytes, str, str, int, bytes]]
) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO cells (table_number, row_key, family, qualifier, timestamp_us, value) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        ((number, *cell) for cell in cells),
    )


def _node_cells(row: tuple[int, int, *tuple[bytes | None, ...]], names: Sequence[str]) -> Iterator[Cell]:
    l2_id, written_us, *values = row
    key = node_key(l2_id % (1 << 64))
    for name, value in zip(names, values, strict=True):
        if value is not None:
            yield Cell(key, FAMILY, name, written_us, value)
