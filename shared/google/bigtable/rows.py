"""Rows of a ReadRows stream as plain lists and dictionaries.

The data client makes an object of every cell, which takes longer than the transfer of cells as small as ours. Here rows
like those before them are cut out of the bytes (`row_layout`); the others, and those in pieces, protobuf decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from shared.deadline import time_left_s
from shared.errors import StorageUnavailableError
from shared.google.bigtable.row_layout import KnownLayouts, RowLayouts
from shared.google.retry import transient_retry

if TYPE_CHECKING:
    from shared.google.bigtable.row_client import RowClient

T = TypeVar("T")

RowCells: TypeAlias = "list[tuple[bytes, int, bytes]]"
"""Qualifier, microseconds since 1970 and value of a row's cells; of several versions the newest comes first."""


def rows_of(
    messages: Iterable[bytes], with_families: bool = False, known: KnownLayouts | None = None
) -> Iterator[tuple[bytes, RowCells]]:
    """The rows in a stream, by row key.

    Args:
      messages: the bytes of `ReadRowsResponse`, as `RowClient` gives them. The filter of their request must let one
        column family pass only, unless families are asked for.
      with_families: whether a qualifier is to have its family before it: `family:qualifier`.
      known: the layouts of rows of earlier streams; none by default.

    Raises:
      StorageUnavailableError: if the stream ends within a row.
    """
    for key, qualifiers, times_us, values in _columns(messages, with_families=with_families, known=known):
        yield key, list(zip(qualifiers, times_us, values, strict=True))


def merge_rows(
    messages: Iterable[bytes], known: KnownLayouts | None = None
) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """The rows in a stream: (row key, {qualifier: newest value}); see `rows_of`."""
    for key, qualifiers, _, values in _columns(messages, with_families=False, known=known):
        yield key, dict(zip(reversed(qualifiers), reversed(values), strict=True))


def _columns(
    messages: Iterable[bytes], *, with_families: bool, known: KnownLayouts | None
) -> Iterator[tuple[bytes, Sequence[bytes], Sequence[int], Sequence[bytes]]]:
    """Row key, and qualifiers, times and values of a row's cells; see `rows_of`.

    A row comes as chunks: one or several for a cell, the last with `commit_row`; a chunk with `reset_row` takes back
    what came of its row before. A chunk names row and column only where they change.
    """
    from google.cloud.bigtable_v2.types import ReadRowsResponse

    decode, layouts = ReadRowsResponse.pb().FromString, RowLayouts(known or KnownLayouts())
    key, family, qualifier, timestamp_us = b"", b"", b"", 0
    cells: RowCells = []
    beginning: list[bytes] = []
    for message in messages:
        position = 0
        while not key and (row := layouts.row_at(message, position)):
            position = row.stop
            qualifiers = row.layout.qualifiers_with_families if with_families else row.layout.qualifiers
            qualifier, family = qualifiers[-1], f"{row.layout.columns[-1][0]}:".encode() if with_families else b""
            yield row.key, qualifiers, row.times_us, row.values
        if position == len(message):
            continue
        for chunk in decode(message[position:]).chunks:
            if chunk.reset_row:
                key, cells, beginning = b"", [], []
                continue
            key = chunk.row_key or key
            if with_families and chunk.HasField("family_name"):
                family = f"{chunk.family_name.value}:".encode()
            if chunk.HasField("qualifier"):
                qualifier = family + chunk.qualifier.value
            if not beginning:
                timestamp_us = chunk.timestamp_micros
            if chunk.value_size:
                beginning.append(chunk.value)
                continue
            value = b"".join((*beginning, chunk.value)) if beginning else chunk.value
            cells.append((qualifier, timestamp_us, value))
            beginning = []
            if chunk.commit_row:
                names, times_us, values = zip(*cells, strict=True)
                yield key, names, times_us, values
                key, cells = b"", []
    if key:
        raise StorageUnavailableError("storage broke off within a row")


def read_rows(
    client: RowClient,
    request: Any,
    read: Callable[[Iterable[bytes]], Iterable[T]],
    timeout_s: float,
    attempt_timeout_s: float,
) -> list[T]:
    """What `read` makes of a stream of rows, which is begun anew if it breaks off for a transient reason.

    Args:
      client: what reads.
      request: which rows; see `RowClient.read_rows`.
      read: `rows_of` or `merge_rows`.
      timeout_s: how long this is tried, unless a deadline comes before.
      attempt_timeout_s: time-out of one stream, likewise.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if the rows cannot be read.
      google.api_core.exceptions.RetryError: if transient errors do not end.
      StorageUnavailableError: as `rows_of`, or if there is no time left.
    """

    def attempt() -> list[T]:
        left_s = time_left_s(attempt_timeout_s)
        if left_s <= 0:
            raise StorageUnavailableError("there is no time left to read storage")
        return list(read(client.read_rows(request, left_s)))

    return transient_retry(time_left_s(timeout_s))(attempt)()
