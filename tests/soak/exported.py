"""Reading the files of an export."""

from __future__ import annotations

from shared.attributes import ATTRIBUTES
from shared.geometry.grid import GraphGeometry
from shared.table.parquet import decode_parquet
from shared.table.row_columns import rows_of_columns
from tests.soak.world import Row


def rows_of_file(content: bytes, geometry: GraphGeometry) -> dict[int, Row]:
    """The rows in a file by id, as an import would write them, without empty cells.

    Raises:
      BrokenExportError: if it is no file of an export.
    """
    stored = [rows for columns in decode_parquet(content) for rows in rows_of_columns(columns, ATTRIBUTES, geometry)]
    cells = [(l2_id, row) for rows in stored for l2_id, _, row in rows.rows()]
    return {l2_id: {name: cell for name, cell in row.items() if cell} for l2_id, row in cells}
