"""Bringing the tables of a SQLite file to the columns that the code of today expects."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from shared.errors import SchemaMismatchError


@dataclass(frozen=True)
class Column:
    """A column as SQLite describes it; `key` is its place in the primary key, 0 if it is not part of it."""

    name: str
    kind: str
    is_required: bool
    default: str | None
    key: int

    @property
    def declaration(self) -> str | None:
        """What adds it to a table that has rows; None if the schema does not say what these would hold in it."""
        if self.key or (self.is_required and self.default is None):
            return None
        required = " NOT NULL" if self.is_required else ""
        default = "" if self.default is None else f" DEFAULT {self.default}"
        return f'"{self.name}" {self.kind}{required}{default}'


def bring_up_to_date(connection: sqlite3.Connection, schema: str) -> None:
    """Makes the tables and indices that are not there yet, and adds missing columns to those that are.

    A column is added if it may be NULL or has a default. Columns that the schema does not know are left alone: a later
    version may have added them.

    Args:
      connection: without a transaction; all is done in one.
      schema: statements of the form `CREATE ... IF NOT EXISTS ...;`, with no other semicolons.

    Raises:
      SchemaMismatchError: if a table cannot be used; names table and column.
      sqlite3.Error: if the file cannot be written.
    """
    # what is made in an empty database is what the schema describes
    with closing(sqlite3.connect(":memory:")) as described:
        described.executescript(schema)
        expected = {table: columns_of(described, table) for table in _tables(described)}
    connection.execute("BEGIN IMMEDIATE")
    there = _tables(connection)
    for table in expected.keys() & there:
        _amend(connection, table, expected[table])
    # not `executescript`, which ends the transaction first
    for statement in schema.split(";"):
        connection.execute(statement)
    connection.execute("COMMIT")


def _amend(connection: sqlite3.Connection, table: str, expected: dict[str, Column]) -> None:
    found = columns_of(connection, table)
    for column in expected.values():
        present = found.get(column.name)
        if present is None:
            if column.declaration is None:
                raise SchemaMismatchError(f"table {table} of the storage has no column {column.name}")
            connection.execute(f'ALTER TABLE "{table}" ADD COLUMN {column.declaration}')
        elif (present.kind, present.key) != (column.kind, column.key):
            raise SchemaMismatchError(
                f"column {column.name} of the storage's table {table} is {_described(present)}, not "
                f"{_described(column)}"
            )
    for column in found.values():
        if column.name not in expected and column.declaration is None:
            raise SchemaMismatchError(f"table {table} of the storage needs a column {column.name}, which is not known")


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name for (name,) in rows}


def columns_of(connection: sqlite3.Connection, table: str) -> dict[str, Column]:
    """The columns of a table by their names, in its order; none if there is no such table."""
    rows = connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid', (table,)
    )
    return {row[0]: Column(row[0], row[1], bool(row[2]), row[3], row[4]) for row in rows}


def _described(column: Column) -> str:
    return f"{column.kind or 'of no type'}{f', number {column.key} of the key' if column.key else ''}"
