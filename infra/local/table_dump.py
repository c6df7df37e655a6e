"""Cache tables as files of cells, to move them between stores and to compare them.

A dump is text, gzipped if its name ends in `.gz`: a line `{"table": name, "families": {family: rule}}`, then a line per
cell `{"k": row key, "f": family, "q": qualifier, "t": microseconds, "v": base64 value}` in the order of row keys.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol, cast

from shared.store.table_format import FAMILIES, Cell


class CellStore(Protocol):
    """A store whose tables can be read and written cell by cell."""

    def cells(self, table_id: str) -> list[Cell]:
        """Every cell of a table, by row key, family and qualifier."""

    def put_cells(self, table_id: str, cells: Iterable[Cell]) -> None:
        """Writes cells as they are, making the table if there is none."""


def read_dump(path: Path) -> tuple[str, list[Cell]]:
    """The table's name and its cells.

    Raises:
      ValueError: if the file is no dump.
    """
    with _open(path, "rt") as lines:
        try:
            return json.loads(next(lines))["table"], [_cell(json.loads(line)) for line in lines]
        except (StopIteration, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no dump of a table: {error!r}") from error


def restore(path: Path, store: CellStore) -> str:
    """Writes a dump's cells to a store and returns the table's name."""
    table_id, cells = read_dump(path)
    store.put_cells(table_id, cells)
    return table_id


def dump(store: CellStore, table_id: str, path: Path) -> None:
    """Writes all cells of a table to a file."""
    with _open(path, "wt") as file:
        file.write(json.dumps({"table": table_id, "families": FAMILIES}) + "\n")
        file.writelines(_lines(store.cells(table_id)))


def _open(path: Path, mode: str) -> IO[str]:
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, mode, encoding="utf-8"))
    return cast(IO[str], path.open(mode, encoding="utf-8"))


def _cell(line: dict[str, Any]) -> Cell:
    return Cell(line["k"].encode("latin-1"), line["f"], line["q"], line["t"], base64.b64decode(line["v"]))


def _lines(cells: Iterable[Cell]) -> Iterator[str]:
    for cell in cells:
        value = base64.b64encode(cell.value).decode()
        line = {"k": cell.row_key.decode("latin-1"), "f": cell.family, "q": cell.qualifier, "t": cell.timestamp_us}
        yield json.dumps({**line, "v": value}, separators=(",", ":")) + "\n"
