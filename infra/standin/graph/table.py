"""The graph table as cells: dumps of a table, and the encoding of its values."""

from __future__ import annotations

import gzip
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import orjson
import zstandard

from shared.errors import ConfigurationError
from shared.geometry.ids import node_key
from shared.types import UInt64Array

T = TypeVar("T")

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
TREE_FAMILY = "0"
OPERATION_FAMILY = "2"
CROSS_EDGE_FAMILY = "3"
CROSS_EDGE_PREFIX = "atomic_cross_edges_"
FAMILIES = {"0": None, "1": "max_num_versions: 1", "2": None, "3": None}


class Cell(NamedTuple):
    """One cell of a table: row key, column family, qualifier, timestamp in microseconds since 1970, value."""

    key: str
    family: str
    qualifier: str
    timestamp_us: int
    value: bytes


def row_key(number: int) -> str:
    """The row key of a node or an operation: 20 decimal digits."""
    return node_key(number).decode()


def encode_ids(ids: UInt64Array) -> bytes:
    """Ids as the graph keeps `children` and edges: little-endian, C order, zstd-compressed."""
    return zstandard.compress(np.ascontiguousarray(ids, dtype="<u8").tobytes(), 3)


def decode_ids(value: bytes) -> UInt64Array:
    """Inverse of `encode_ids`: uint64[n]; uncompressed values are understood as well."""
    raw = zstandard.decompress(value) if value.startswith(ZSTD_MAGIC) else value
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64, copy=False)


def encode_id(node_id: int) -> bytes:
    """One id as the graph keeps `parents`: 8 bytes, little-endian."""
    return node_id.to_bytes(8, "little")


def cell_line(cell: Cell) -> bytes:
    """A cell as a line of a dump, newline included."""
    key, family, qualifier, timestamp_us, value = cell
    record = {"k": key, "f": family, "q": qualifier, "t": timestamp_us, "v": b64encode(value).decode()}
    return orjson.dumps(record) + b"\n"


def parse_cell(line: bytes) -> Cell:
    """Inverse of `cell_line`.

    Raises:
      ConfigurationError: if the line is no cell.
    """
    try:
        record: dict[str, Any] = orjson.loads(line)
        return Cell(record["k"], record["f"], record["q"], record["t"], b64decode(record["v"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"not a cell of a table dump: {line[:80]!r}") from error


def read_dump(path: Path) -> tuple[str, Iterator[Cell]]:
    """Name of the dumped table and its cells, in the order of the file.

    Raises:
      ConfigurationError: if the file is no table dump.
    """
    return read_dump_as(path, lambda head: str(head["table"]))


def read_dump_as(path: Path, of_head: Callable[[Any], T]) -> tuple[T, Iterator[Cell]]:
    """What is wanted of the head of a dump, and its cells, in the order of the file.

    Args:
      path: a dump: a line `{"table": name, "families": {family: rule}}`, then a line per cell; gzipped.
      of_head: makes it of the first line's document.

    Raises:
      ConfigurationError: if the file is no table dump.
    """
    with gzip.open(path) as file:
        lines = file.read().splitlines()
    try:
        wanted = of_head(orjson.loads(lines[0]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigurationError(f"{path.name} is no table dump") from error
    return wanted, map(parse_cell, lines[1:])


def write_dump(path: Path, table: str, cells: Iterable[Cell]) -> None:
    """Writes a table's cells, ordered by row key, as `read_dump` reads them. The bytes depend on the cells alone."""
    header = orjson.dumps({"table": table, "families": FAMILIES}) + b"\n"
    body = b"".join(map(cell_line, sorted(cells, key=lambda cell: (cell.key, cell.family, cell.qualifier))))
    path.write_bytes(gzip.compress(header + body, compresslevel=4, mtime=0))
