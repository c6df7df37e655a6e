"""Rows of a ReadRows stream cut out of its bytes where they have the layout of a row before them.

Protobuf makes an object of each cell, and reading its fields takes ten times as long as all else about a row. The rows
of a table resemble each other, though: their columns are the same and their values as long. What they have in common,
which is all tags, lengths and names, is compared, and what lies between is row keys, times and values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from struct import Struct
from threading import Lock
from typing import NamedTuple

_CHUNK_TAG = 10  # of a chunk in a response: field 1, with a length
_KEY, _FAMILY, _QUALIFIER, _TIME, _VALUE, _COMMIT = 1, 2, 3, 4, 6, 9  # fields of a chunk
_PLAIN = {_KEY, _FAMILY, _QUALIFIER, _TIME, _VALUE, _COMMIT}
_VARINT, _WITH_LENGTH = 0, 2  # wire types, https://protobuf.dev/programming-guides/encoding/
_MOST_VARINT_BYTES = 8
_EIGHTH_BITS = 0x8080808080808080
_FOLLOWED = tuple(_EIGHTH_BITS & (1 << 8 * max(0, n_bytes - 1)) - 1 for n_bytes in range(_MOST_VARINT_BYTES + 1))
_LAYOUTS, _TRIES = 8, 64


class _OtherError(ValueError):
    """The bytes are no plain row."""


@dataclass(frozen=True, eq=False)
class RowLayout:
    """What rows of one kind have in common.

    Attributes:
      parts: cuts a row into what is fixed and what is not, in turn; the latter are of each cell the row key, where it
        is said again, the time and the value.
      fixed: the fixed parts.
      columns: family and qualifier of each cell.
    """

    parts: Struct
    fixed: tuple[bytes, ...]
    columns: tuple[tuple[str, bytes], ...]

    @cached_property
    def qualifiers(self) -> tuple[bytes, ...]:
        """The qualifier of each cell."""
        return tuple(qualifier for _, qualifier in self.columns)

    @cached_property
    def qualifiers_with_families(self) -> tuple[bytes, ...]:
        """`family:qualifier` of each cell."""
        return tuple(f"{family}:".encode() + qualifier for family, qualifier in self.columns)


class CutRow(NamedTuple):
    """A row.

    Attributes:
      stop: where in its message the next one begins.
      key: of the row.
      times_us: of its cells.
      values: of its cells.
      layout: tells their columns.
    """

    stop: int
    key: bytes
    times_us: Sequence[int]
    values: Sequence[bytes]
    layout: RowLayout


class KnownLayouts:
    """The layouts that came last in the streams of one reader. May be used by many threads.

    Finding a layout takes longer than reading a hundred rows by it, and most streams are shorter than that.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest_first: tuple[RowLayout, ...] = ()

    @property
    def newest_first(self) -> tuple[RowLayout, ...]:
        """The layouts, at most eight."""
        return self._newest_first

    def add(self, layout: RowLayout) -> None:
        """Keeps a layout, and forgets the oldest for it."""
        with self._lock:
            self._newest_first = (layout, *self._newest_first[: _LAYOUTS - 1])


class RowLayouts:
    """Cuts the rows of one stream. Where they are of too many layouts, new ones are no longer looked for.

    Args:
      known: the layouts known already; those of this stream are added.
    """

    def __init__(self, known: KnownLayouts) -> None:
        self._known = known
        self._tries_left = _TRIES

    def row_at(self, message: bytes, start: int) -> CutRow | None:
        """The row that begins at a place in a `ReadRowsResponse`; None if there is none that is whole and plain."""
        if start >= len(message):
            return None
        for layout in self._known.newest_first:
            if row := _cut(message, start, layout):
                return row
        if not self._tries_left:
            return None
        self._tries_left -= 1
        try:
            layout = _layout_at(message, start)
        except (_OtherError, IndexError):
            return None
        self._known.add(layout)
        return _cut(message, start, layout)


def _cut(message: bytes, start: int, layout: RowLayout) -> CutRow | None:
    stop = start + layout.parts.size
    if stop > len(message):
        return None
    parts = layout.parts.unpack_from(message, start)
    if parts[::2] != layout.fixed:
        return None
    keys, times = parts[1::6], parts[3::6]
    key = keys[0]
    if keys.count(key) + keys.count(b"") != len(keys):
        return None
    first = times[0]
    is_one = times.count(first) == len(times)
    times_us = [_number(first)] * len(times) if is_one else [_number(time) for time in times]
    return None if -1 in times_us else CutRow(stop, key, times_us, parts[5::6], layout)


def _number(varint: bytes) -> int:
    """The number in the bytes of one varint, zero for no bytes; -1 if they are something else, or a number too large.

    Each byte has seven bits, the lowest first, and says by its eighth whether another follows. Pairs of bytes, then of
    pairs, then of fours are moved together.
    """
    n_bytes, joined = len(varint), int.from_bytes(varint, "little")
    if n_bytes > _MOST_VARINT_BYTES or joined & _EIGHTH_BITS != _FOLLOWED[n_bytes]:
        return -1
    joined = (joined & 0x7F007F007F007F00) >> 1 | joined & 0x007F007F007F007F
    joined = (joined & 0x3FFF00003FFF0000) >> 2 | joined & 0x00003FFF00003FFF
    return (joined & 0x0FFFFFFF00000000) >> 4 | joined & 0x0FFFFFFF


def _layout_at(message: bytes, start: int) -> RowLayout:
    """The layout of the row that begins there.

    Raises:
      _OtherError: if it is not whole, or has anything but cells.
      IndexError: likewise.
    """
    columns: list[tuple[str, bytes]] = []
    changing: list[tuple[int, int]] = []
    family, qualifier, position, is_whole = "", b"", start, False
    while not is_whole:
        if message[position] != _CHUNK_TAG:
            raise _OtherError
        begin, stop = _span(message, position + 1)
        fields = dict(_fields(message, begin, stop))
        is_first = not columns
        if not _PLAIN.issuperset(fields) or (is_first and not {_KEY, _FAMILY}.issubset(fields)):
            raise _OtherError
        if _FAMILY in fields:
            family = _wrapped(message, *fields[_FAMILY]).decode()
        if _QUALIFIER in fields:
            qualifier = _wrapped(message, *fields[_QUALIFIER])
        elif _FAMILY in fields:
            raise _OtherError
        columns.append((family, qualifier))
        key = fields.get(_KEY, (begin, begin))
        time = fields.get(_TIME, (key[1], key[1]))
        changing += [key, time, fields.get(_VALUE, (time[1], time[1]))]
        is_whole = _COMMIT in fields and message[fields[_COMMIT][0]] == 1
        position = stop
    places = [start, *(place for span in changing for place in span), position]
    lengths = [after - before for before, after in pairwise(places)]
    if min(lengths) < 0:
        raise _OtherError  # not in the usual order
    parts = Struct("".join(f"{length}s" for length in lengths))
    return RowLayout(parts, parts.unpack_from(message, start)[::2], tuple(columns))


def _fields(message: bytes, start: int, stop: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Number and place of the fields of a chunk; of those with a length, without it."""
    seen: set[int] = set()
    while start < stop:
        number, kind = message[start] >> 3, message[start] & 7
        if kind == _WITH_LENGTH:
            place = _span(message, start + 1)
        elif kind == _VARINT:
            place = start + 1, _end_of_varint(message, start + 1)
        else:
            raise _OtherError
        if number in seen or place[1] > stop:
            raise _OtherError
        seen.add(number)
        yield number, place
        start = place[1]


def _span(message: bytes, start: int) -> tuple[int, int]:
    """Where that begins and ends whose length stands at `start`."""
    begin = _end_of_varint(message, start)
    stop = begin + _number(message[start:begin])
    if stop > len(message):
        raise _OtherError
    return begin, stop


def _end_of_varint(message: bytes, start: int) -> int:
    while message[start] >= 128:
        start += 1
    return start + 1


def _wrapped(message: bytes, start: int, stop: int) -> bytes:
    """The text in a `StringValue` or `BytesValue`."""
    fields = dict(_fields(message, start, stop))
    if not fields:
        return b""
    if set(fields) != {1}:
        raise _OtherError
    begin, end = fields[1]
    return message[begin:end]
