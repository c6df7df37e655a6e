"""Rows cell for cell, from and for Bigtable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from shared.attributes import AttributeTable
from shared.geometry.ids import node_key
from shared.google.bigtable.mutations import Entry, add_cells, set_cells
from shared.google.bigtable.rows import RowCells
from shared.store.rows import CellKey, RowValues, StoredRows, stored_rows
from shared.store.table_format import FAMILY, node_id


def rows_cell_for_cell(rows: Iterable[tuple[bytes, RowCells]], attributes: AttributeTable) -> StoredRows:
    """Out of the newest cells of all columns; qualifiers have their family before them."""
    names = {f"{FAMILY}:{name}".encode(): place for place, name in enumerate(attributes.names)}
    usual = list(names)
    times_us: dict[CellKey, int] = {}
    others: Counter[str] = Counter()

    def of_ours() -> Iterator[tuple[int, int, RowValues]]:
        for key, cells in rows:
            l2_id = node_id(key)
            if l2_id is None:
                continue
            newest_us = max(cell[1] for cell in cells)
            if [cell[0] for cell in cells] == usual and all(cell[1] == newest_us for cell in cells):
                yield l2_id, newest_us, [cell[2] for cell in cells]
                continue
            values: list[bytes | None] = [None] * len(usual)
            ours = [(names[qualifier], us, value) for qualifier, us, value in cells if qualifier in names]
            others.update(q.decode(errors="replace") for q, _, _ in cells if q not in names)
            newest_us = max((us for _, us, _ in ours), default=0)
            for place, us, value in ours:
                values[place] = value
                if us != newest_us:
                    times_us[l2_id, attributes.names[place]] = us
            if ours:
                yield l2_id, newest_us, values

    found = list(of_ours())
    return stored_rows(attributes, found, times_us, others)


def row_entry(row: tuple[int, int, Mapping[str, bytes]], times_us: Mapping[CellKey, int]) -> Entry:
    """Sets a row's cells, those that are older than the newest with their own times."""
    l2_id, written_us, cells = row
    older = {name for name in cells if (l2_id, name) in times_us} if times_us else set()
    entry = set_cells(node_key(l2_id), FAMILY, {n: c for n, c in cells.items() if n not in older}, written_us)
    for name in older:
        add_cells(entry, FAMILY, {name: cells[name]}, times_us[l2_id, name])
    return entry
