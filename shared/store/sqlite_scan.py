"""Reading whole rows of a SQLite table, hundreds of thousands a second.

A Python object of each cell would take longer than all the rest. So SQLite joins the cells of a row, as long as they
have the lengths that rows of ours have; what these are is seen from the length of the whole. Other rows are read once
more, cell by cell.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.attributes import Attribute, AttributeTable
from shared.store.rows import PackedRows, StoredRows
from shared.store.scan import IdRange
from shared.store.sqlite_rows import unsigned
from shared.store.table_format import FAMILY


@dataclass(frozen=True)
class RowScan:
    """Reads the rows of a SQLite table.

    Attributes:
      rows: its name.
      attributes: which cells are known.
      columns: the columns of cells that the table has.
    """

    rows: str
    attributes: AttributeTable
    columns: Sequence[str]

    def read(self, connection: sqlite3.Connection, ranges: Sequence[IdRange]) -> StoredRows:
        """The rows of some ranges of signed ids."""
        packed, others = PackedRows(self.attributes), Counter[str]()
        has_all = all(name in self.columns for name in self.attributes.names)
        for bounds in ranges:
            unusual = self._add_joined(connection, bounds, packed) if has_all else [bounds]
            for first, last in unusual:
                self._add_cell_by_cell(connection, (first, last), packed)
            others += self._count_others(connection, bounds)
        return packed.unpacked(others=others)

    def _add_joined(self, connection: sqlite3.Connection, bounds: IdRange, packed: PackedRows) -> list[IdRange]:
        """Adds the rows of ours in a range; the others, each as a range of its own."""
        joined = f"CAST({' || '.join(map(_quoted, self.attributes.names))} AS BLOB)"
        always = [a for a in self.attributes if a.mask is None]
        masked = [a for a in self.attributes if a.mask is not None]
        lengths = [_lengths(always, [a.n_bytes for a in always]), _lengths(masked, [a.n_bytes for a in masked])]
        either = f"({lengths[1]} OR {_lengths(masked, [0] * len(masked))})" if masked else "1"
        query = (
            f"SELECT l2_id, written_us, CASE WHEN {lengths[0]} AND {either} THEN {joined} ELSE x'' END "  # noqa: S608
            f"FROM {self.rows} WHERE l2_id BETWEEN ? AND ?"
        )
        rows = connection.execute(query, bounds).fetchall()
        if not rows:
            return []
        ids, times_us, cells = zip(*rows, strict=True)
        del rows
        lengths_of_rows = np.fromiter(map(len, cells), np.int64, len(cells))
        for alike in {packed.full, packed.without}:
            places = np.flatnonzero(lengths_of_rows == sum(alike)).tolist()
            if places:
                chosen = [list(map(column.__getitem__, places)) for column in (ids, times_us, cells)]
                packed.add_alike(alike, map(unsigned, chosen[0]) if ids[0] < 0 else chosen[0], *chosen[1:])
        unusual = [ids[place] for place in np.flatnonzero(lengths_of_rows == 0).tolist()]
        return [(l2_id, l2_id) for l2_id in unusual]

    def _add_cell_by_cell(self, connection: sqlite3.Connection, bounds: IdRange, packed: PackedRows) -> None:
        columns = ", ".join(_quoted(name) if name in self.columns else "NULL" for name in self.attributes.names)
        query = f"SELECT l2_id, written_us, {columns} FROM {self.rows} WHERE l2_id BETWEEN ? AND ?"  # noqa: S608
        for l2_id, written_us, *cells in connection.execute(query, bounds):
            packed.add(unsigned(l2_id), written_us, cells)

    def _count_others(self, connection: sqlite3.Connection, bounds: IdRange) -> Counter[str]:
        """How many cells there are in columns of attributes that are not known here."""
        unknown = [name for name in self.columns if name not in self.attributes.names]
        if not unknown:
            return Counter()
        columns = ", ".join(f"count({_quoted(name)})" for name in unknown)
        query = f"SELECT {columns} FROM {self.rows} WHERE l2_id BETWEEN ? AND ?"  # noqa: S608
        counts = connection.execute(query, bounds).fetchone()
        return Counter({f"{FAMILY}:{name}": count for name, count in zip(unknown, counts, strict=True) if count})


def _lengths(attributes: Sequence[Attribute], sizes: Sequence[int]) -> str:
    tests = (f"length({_quoted(a.name)}) = {size}" for a, size in zip(attributes, sizes, strict=True))
    return f"({' AND '.join(tests)})"


def _quoted(name: str) -> str:
    return f'"{name}"'
