"""The public layout of a cache table: row keys, families, meta. Other programs read and write the same tables."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.config.version import VERSION
from shared.documents.timestamp import format_utc, parse_utc
from shared.errors import BadMessageError, ConfigurationError, TableNotFoundError
from shared.safe_pickle import decoder as safe_pickle
from shared.store.protocol import TableMeta
from shared.store.states import STATES_TABLE

FAMILIES: dict[str, str | None] = {
    "0": None,
    "1": "max_num_versions: 1",
    "2": None,
    "3": "max_age { seconds: 31536000 }",
    "4": None,
}
"""The column families of a cache table and when their cells are dropped."""

FAMILY = "0"
"""The family of attributes, meta and version."""

MARK_FAMILY = "1"
"""The family of marks. It keeps one version of a cell, and a mark has no history."""

META_KEY, META_QUALIFIER = b"meta", "meta"
VERSION_KEY, VERSION_QUALIFIER = b"version", "version"

_MARK_PREFIX = b"mark/"
_NODE_KEY_DIGITS = 20
_NODE_KEY = re.compile(rb"[0-9]{20}")
_MAX_NODE_ID = 2**64 - 1
_TABLE_ID = re.compile(r"[_a-zA-Z0-9][-_.a-zA-Z0-9]{0,49}")
# protocol 4 is what PCGL2Cache writes
_META_PROTOCOL = 4


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `timestamp_us` is microseconds since 1970, in whole milliseconds."""

    row_key: bytes
    family: str
    qualifier: str
    timestamp_us: int
    value: bytes


def node_key(l2_id: int) -> bytes:
    """Row key of a node: its id in 20 decimal digits."""
    return b"%020d" % l2_id


def node_id(row_key: bytes) -> int | None:
    """The id in a row key; None for a row that is not a node's."""
    if not _NODE_KEY.fullmatch(row_key):
        return None
    l2_id = int(row_key)
    return l2_id if l2_id <= _MAX_NODE_ID else None


def mark_place(key: str) -> tuple[bytes, str]:
    """Row key and qualifier of a mark: one row holds the marks whose keys agree up to the last `/`.

    The row's key is never a node's, nor that of meta or version.
    """
    head, slash, tail = key.rpartition("/")
    return _MARK_PREFIX + (head + slash).encode(), tail


@dataclass(frozen=True)
class MarkRows:
    """The rows that hold the marks whose keys have a prefix, and perhaps others.

    Attributes:
      row: a single row.
      start: the first of further rows.
      stop: the row after the last of these.
    """

    row: bytes
    start: bytes
    stop: bytes


def mark_rows(prefix: str) -> MarkRows:
    """Where the marks whose keys start with `prefix` are."""
    row, _ = mark_place(prefix)
    start = _MARK_PREFIX + prefix.encode()
    # UTF-8 has no byte 0xff, so that the last one can be counted up.
    return MarkRows(row, start, start[:-1] + bytes([start[-1] + 1]))


def marks_of(cells: Iterable[tuple[bytes, str, bytes]], prefix: str) -> dict[str, bytes]:
    """The marks in cells (row key, qualifier, value) whose keys start with `prefix`, in ascending order."""
    marks = ((row_key.removeprefix(_MARK_PREFIX).decode() + qualifier, value) for row_key, qualifier, value in cells)
    return dict(sorted((key, value) for key, value in marks if key.startswith(prefix)))


def is_table_id(table_id: str) -> bool:
    """Whether a table can have that name, by Bigtable's rule."""
    return _TABLE_ID.fullmatch(table_id) is not None


def check_table_id(table_id: str) -> None:
    """Refuses a name that no cache table can have.

    Raises:
      ConfigurationError: naming it.
    """
    if table_id == STATES_TABLE:
        raise ConfigurationError(f"a cache table cannot be named {STATES_TABLE!r}: states of ids are kept there")
    if not is_table_id(table_id):
        raise ConfigurationError(
            f"a cache table cannot be named {table_id[:60]!r}: "
            "at most 50 letters, digits, '_', '.' and '-' are allowed, the first a letter, digit or '_'"
        )


def check_known(table_id: str) -> None:
    """Refuses to look for a table whose name no table can have.

    Raises:
      TableNotFoundError: if it is such a name.
    """
    if not is_table_id(table_id):
        raise TableNotFoundError(f"there is no cache table {table_id[:60]!r}")


def first_cells(meta: TableMeta) -> dict[bytes, tuple[str, bytes]]:
    """What a new table holds: row key -> (qualifier, value), in `FAMILY`."""
    fields = {
        "graph_id": meta.graph_id,
        "cv_path": meta.cv_path,
        "timestamp": format_utc(meta.timestamp),
    }
    return {
        VERSION_KEY: (VERSION_QUALIFIER, VERSION.encode()),
        META_KEY: (META_QUALIFIER, pickle.dumps(fields, protocol=_META_PROTOCOL)),
    }


def decode_meta(table_id: str, cell: bytes | None) -> TableMeta:
    """The meta in a table's meta cell.

    Raises:
      TableNotFoundError: if there is no such cell or it says something else: then this is no cache table.
    """
    if cell is None:
        raise TableNotFoundError(f"table {table_id} has no meta: it is no cache table")
    try:
        fields = safe_pickle.loads(cell)
    except BadMessageError as error:
        raise TableNotFoundError(f"the meta of table {table_id} cannot be read: {error}") from error
    match fields:
        case {"graph_id": str(graph_id), "cv_path": str(cv_path), "timestamp": str(timestamp)}:
            return TableMeta(graph_id, cv_path, _utc(table_id, timestamp))
    raise TableNotFoundError(f"the meta of table {table_id} lacks graph_id, cv_path or timestamp")


def _utc(table_id: str, text: str) -> datetime:
    try:
        return parse_utc(text)
    except ValueError as error:
        raise TableNotFoundError(f"the meta of table {table_id} has no timestamp but {text[:40]!r}") from error
