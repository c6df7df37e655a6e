"""Files that were made with another schema."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from shared.errors import SchemaMismatchError
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.file import SQLiteFile
from shared.store.sqlite import SQLiteStore
from shared.web.errors import answer_of
from tests.contract.cache_store_contract import META


def made_with(path: Path, statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)
    return path


def test_a_missing_column_that_has_a_default_is_added(tmp_path: Path) -> None:
    file = made_with(tmp_path / "a.db", "CREATE TABLE notes (id INTEGER PRIMARY KEY); INSERT INTO notes VALUES (7);")
    schema = """
    CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL DEFAULT 'none', due_s REAL);
    CREATE INDEX IF NOT EXISTS notes_by_time ON notes (due_s);
    """
    for _ in range(2):
        sqlite_file = SQLiteFile(file, schema)
        rows = sqlite_file.read(lambda connection: connection.execute("SELECT id, text, due_s FROM notes").fetchall())
        assert rows == [(7, "none", None)]
        sqlite_file.close()


def test_deliveries_of_a_file_without_reasons_are_delivered(tmp_path: Path) -> None:
    file = made_with(
        tmp_path / "bus.db",
        "CREATE TABLE deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, "
        "path TEXT NOT NULL, attributes TEXT NOT NULL, body BLOB NOT NULL, state TEXT NOT NULL, "
        "attempt INTEGER NOT NULL, due_s REAL NOT NULL);"
        "INSERT INTO deliveries VALUES (1, 'message', '', '', '{}', x'07', 'waiting', 0, 1.0);",
    )
    deliveries = Deliveries(file)
    (lease,) = deliveries.lease(1, 2.0)
    assert (lease.kind, lease.body) == ("message", b"\x07")
    deliveries.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE states RENAME COLUMN since_ms TO since_s", ["states", "no column since_ms"]),
        ("ALTER TABLE tables ADD COLUMN owner TEXT NOT NULL DEFAULT ''", None),
        ("ALTER TABLE tables ADD COLUMN owner TEXT", None),
        ("DROP TABLE tables; CREATE TABLE tables (number TEXT PRIMARY KEY, table_id TEXT)", ["tables", "number"]),
        (
            "DROP TABLE tables; CREATE TABLE tables (number INTEGER PRIMARY KEY, table_id TEXT, owner TEXT NOT NULL)",
            ["tables", "needs a column owner"],
        ),
    ],
)
def test_a_file_of_another_schema_is_refused_naming_table_and_column(
    tmp_path: Path, change: str, named: list[str] | None
) -> None:
    store = SQLiteStore(tmp_path / "cache.db")
    store.create_table("cache", META)
    store.close()
    made_with(tmp_path / "cache.db", f"DROP INDEX states_by_age; {change}")
    store = SQLiteStore(tmp_path / "cache.db", deadline_s=0.1)
    if named is None:
        assert store.read_meta("cache") == META
    else:
        with pytest.raises(SchemaMismatchError) as caught:
            store.read_meta("cache")
        assert all(part in str(caught.value) for part in named)
        answer = answer_of(caught.value)
        assert (answer.status, answer.text) == (503, None)
        assert str(tmp_path) not in str(caught.value)
    store.close()
