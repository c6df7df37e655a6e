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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shared.attributes import ATTRIBUTES, SIZE, VOXELLESS_SIZE, AttributeTable, feature_cells
from shared.sqlite.file import SQLiteFile
from shared.sqlite.schema import columns_of
from shared.store.protocol import CachedCells, NodeState, TableMeta
from shared.store.rows import StoredRows, no_rows
from shared.store.scan import IdRange, ScannedIds, before_size, signed_ranges
from shared.store.sqlite_rows import (
    ROWS_SCHEMA,
    cell_value,
    count_others,
    find_number,
    json_ids,
    listed,
    make_tables,
    node_cells,
    number_of,
    put_rows,
    rows_table,
    signed,
    unsigned_ids,
    write_cells,
)
from shared.store.sqlite_scan import RowScan
from shared.store.sqlite_states import STATES_SCHEMA, SQLiteStates
from shared.store.table_format import (
    FAMILY,
    MARK_FAMILY,
    META_KEY,
    META_QUALIFIER,
    Cell,
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
        self._file = SQLiteFile(path, ROWS_SCHEMA + STATES_SCHEMA, deadline_s)
        self._states = SQLiteStates(self._file)
        self._attributes = attributes

    def create_table(self, table_id: str, meta: TableMeta) -> bool:
        """As `CacheStore.create_table`.

        Raises:
          ConfigurationError: if no table can have that name.
        """
        check_table_id(table_id)

        def work(connection: sqlite3.Connection) -> bool:
            if find_number(connection, table_id) is not None:
                return False
            number = make_tables(connection, table_id, self._attributes.names)
            cells = first_cells(meta).items()
            write_cells(connection, number, ((key, FAMILY, name, _now_us(), value) for key, (name, value) in cells))
            return True

        return self._file.write(work)

    def read_meta(self, table_id: str) -> TableMeta:
        """As `CacheStore.read_meta`."""

        def work(connection: sqlite3.Connection) -> bytes | None:
            return cell_value(connection, number_of(connection, table_id), META_KEY, FAMILY, META_QUALIFIER)

        return decode_meta(table_id, self._file.read(work))

    def read_cells(self, table_id: str, l2_ids: UInt64Array, attributes: Sequence[str]) -> CachedCells:
        """As `CacheStore.read_cells`."""
        names = [attribute.name for attribute in self._attributes.select(attributes)]
        wanted = json_ids(l2_ids)

        def work(connection: sqlite3.Connection) -> list[tuple[int, *tuple[bytes, ...]]]:
            rows = rows_table(connection, table_id)
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

        def work(connection: sqlite3.Connection) -> list[tuple[str | None, str | None]]:
            rows = rows_table(connection, table_id)
            there = columns_of(connection, rows)
            filled = "".join(f' AND "{one.name}" IS NULL' for one in before_size(self._attributes) if one.name in there)
            empty = f'CASE WHEN "{SIZE.name}" = ?{filled} THEN l2_id END'
            # A text of all ids costs a third of a row for each, at every one of which Python's lock changes hands.
            query = (
                f"SELECT group_concat(l2_id), group_concat({empty}) "  # noqa: S608  # our own column names
                f"FROM {rows} WHERE l2_id BETWEEN ? AND ?"
            )
            return [connection.execute(query, (VOXELLESS_SIZE, first, last)).fetchone() for first, last in wanted]

        texts = self._file.read(work)
        found, empty = (unsigned_ids(each[place] for each in texts) for place in (0, 1))
        return ScannedIds.of(found, np.isin(found, empty))

    def scan_rows(self, table_id: str, ranges: Sequence[IdRange]) -> StoredRows:
        """As `CacheStore.scan_rows`."""
        if not ranges:
            return no_rows(self._attributes)

        def work(connection: sqlite3.Connection) -> StoredRows:
            number, rows = number_of(connection, table_id), rows_table(connection, table_id)
            there = columns_of(connection, rows)
            scan = RowScan(rows, self._attributes, [name for name in there if name not in _BESIDE])
            found = scan.read(connection, signed_ranges(ranges))
            return replace(found, others=Counter(found.others) + count_others(connection, number, ranges))

        return self._file.read(work)

    def write_rows(self, table_id: str, rows: StoredRows) -> None:
        """As `CacheStore.write_rows`; all rows or none of them."""
        by_names: dict[tuple[str, ...], list[tuple[int | bytes, ...]]] = {}
        for l2_id, written_us, cells in rows.rows():
            by_names.setdefault(tuple(cells), []).append((signed(l2_id), written_us, *cells.values()))

        def work(connection: sqlite3.Connection) -> None:
            for names, alike in by_names.items():
                put_rows(connection, table_id, names, alike)

        self._file.write(work)

    def write_features(self, table_id: str, features: Features) -> None:
        """As `CacheStore.write_features`; all rows or none of them."""
        now_us, names = _now_us(), features.table.names
        rows: list[tuple[int | bytes, ...]] = [
            (signed(l2_id), now_us, *map(cells.__getitem__, names)) for l2_id, cells in feature_cells(features)
        ]
        self._file.write(lambda connection: put_rows(connection, table_id, names, rows))

    def write_voxelless(self, table_id: str, l2_ids: UInt64Array) -> None:
        """As `CacheStore.write_voxelless`; all rows or none of them."""
        now_us = _now_us()
        rows = [(signed(l2_id), now_us, VOXELLESS_SIZE) for l2_id in l2_ids.tolist()]
        self._file.write(lambda connection: put_rows(connection, table_id, (SIZE.name,), rows))

    def write_marks(self, table_id: str, marks: Mapping[str, bytes | None]) -> None:
        """As `CacheStore.write_marks`; all or none of them."""
        now_us = _now_us()
        places = [(mark_place(key), value) for key, value in marks.items()]
        cells = [(row_key, MARK_FAMILY, name, now_us, value) for (row_key, name), value in places if value is not None]
        removed = [place for place, value in places if value is None]

        def work(connection: sqlite3.Connection) -> None:
            number = number_of(connection, table_id)
            write_cells(connection, number, cells)
            connection.executemany(
                "DELETE FROM cells WHERE table_number = ? AND row_key = ? AND family = ? AND qualifier = ?",
                ((number, row_key, MARK_FAMILY, name) for row_key, name in removed),
            )

        self._file.write(work)

    def replace_mark(self, table_id: str, key: str, expected: bytes | None, value: bytes) -> bool:
        """As `CacheStore.replace_mark`."""
        row_key, name = mark_place(key)

        def work(connection: sqlite3.Connection) -> bool:
            number = number_of(connection, table_id)
            if cell_value(connection, number, row_key, MARK_FAMILY, name) != expected:
                return False
            write_cells(connection, number, [(row_key, MARK_FAMILY, name, _now_us(), value)])
            return True

        return self._file.write(work)

    def read_marks(self, table_id: str, prefix: str) -> dict[str, bytes]:
        """As `CacheStore.read_marks`."""
        rows = mark_rows(prefix)

        def work(connection: sqlite3.Connection) -> list[tuple[bytes, str, bytes]]:
            return connection.execute(
                "SELECT row_key, qualifier, value FROM cells WHERE table_number = ? AND family = ? "
                "AND (row_key = ? OR row_key >= ? AND row_key < ?)",
                (number_of(connection, table_id), MARK_FAMILY, rows.row, rows.start, rows.stop),
            ).fetchall()

        return marks_of(self._file.read(work), prefix)

    def write_states(self, table_id: str, states: Mapping[int, NodeState]) -> None:
        """As `CacheStore.write_states`; all or none of them."""
        self._states.write(table_id, states)

    def read_states(self, table_id: str, l2_ids: UInt64Array) -> dict[int, NodeState]:
        """As `CacheStore.read_states`."""
        return self._states.read(table_id, l2_ids)

    def close(self) -> None:
        """As `CacheStore.close`."""
        self._file.close()

    def cells(self, table_id: str) -> list[Cell]:
        """Every cell of a table by row key, family, qualifier; those of a node have the time of its newest."""

        def work(connection: sqlite3.Connection) -> list[Cell]:
            number, rows = number_of(connection, table_id), rows_table(connection, table_id)
            names = [name for name in columns_of(connection, rows) if name not in _BESIDE]
            others = connection.execute(
                "SELECT row_key, family, qualifier, timestamp_us, value FROM cells WHERE table_number = ?", (number,)
            )
            nodes = connection.execute(f"SELECT l2_id, written_us, {listed(names)} FROM {rows}")  # noqa: S608
            return [Cell(*row) for row in others] + [cell for row in nodes for cell in node_cells(row, names)]

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
                columns.setdefault(cell.qualifier, []).append((signed(l2_id), cell.timestamp_us, cell.value))

        def work(connection: sqlite3.Connection) -> None:
            number = find_number(connection, table_id)
            if number is None:
                number = make_tables(connection, table_id, self._attributes.names)
            write_cells(connection, number, others)
            for name, rows in columns.items():
                put_rows(connection, table_id, (name,), rows)

        self._file.write(work)


def _now_us() -> int:
    return time.time_ns() // 1_000_000 * 1000
