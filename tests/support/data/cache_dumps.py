"""Dumps of cache tables as a store's cells."""

from __future__ import annotations

from pathlib import Path

from infra.standin.graph import table
from shared.store.sqlite import SQLiteStore
from shared.store.table_format import Cell


def read_dump(path: Path) -> tuple[str, list[Cell]]:
    """The table's name and its cells."""
    table_id, cells = table.read_dump(path)
    return table_id, [Cell(key.encode(), *others) for key, *others in cells]


def restore(path: Path, store: SQLiteStore) -> str:
    """Writes a dump's cells to a store and returns the table's name."""
    table_id, cells = read_dump(path)
    store.put_cells(table_id, cells)
    return table_id
