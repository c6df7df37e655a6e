"""Reading rows for several callers in one stream.

A stream costs client and server as much as twenty rows do. So those who ask while a stream is under way join to ask in
the next one. Nobody waits for company: where there is no stream under way, a caller reads at once and alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from shared.deadline import time_left_s

T = TypeVar("T")
Rows: TypeAlias = "list[tuple[bytes, T]]"

_MOST_KEYS = 500
_WAIT_FOR_STREAM_S, _WAIT_FOR_ROWS_S = 0.02, 1.0


@dataclass(eq=False)
class _Read(Generic[T]):
    """What several callers ask in one stream: the first to come reads, the others wait for what it finds.

    Attributes:
      callers: how many there are.
      keys: what they ask for.
      found: the rows; None until then, and if there was but one caller or the stream failed.
      is_over: set when nothing more will be found.
    """

    callers: int = 0
    keys: set[bytes] = field(default_factory=set)
    found: dict[bytes, T] | None = None
    is_over: threading.Event = field(default_factory=threading.Event)


class JointReads:
    """Joins the reads of small numbers of keys. May be used by many threads.

    A stream that hangs, at one tablet of many, does not hold up for long whoever asks for other rows.

    Args:
      most_keys: of one stream of several callers.
      wait_for_stream_s: after so long with a stream under way the next one begins all the same.
      wait_for_rows_s: after so long in another's stream a caller reads for itself.
    """

    def __init__(
        self,
        most_keys: int = _MOST_KEYS,
        wait_for_stream_s: float = _WAIT_FOR_STREAM_S,
        wait_for_rows_s: float = _WAIT_FOR_ROWS_S,
    ) -> None:
        self._lock = threading.Lock()
        self._most_keys = most_keys
        self._waits_s = wait_for_stream_s, wait_for_rows_s
        self._gathering: dict[Hashable, _Read[Any]] = {}
        self._under_way: dict[Hashable, _Read[Any]] = {}

    def read(self, kind: Hashable, keys: Sequence[bytes], stream: Callable[[Sequence[bytes]], Rows[T]]) -> Rows[T]:
        """The rows of some keys; others who ask for one of them may be given the same objects.

        Args:
          kind: what is read of the rows, and where: any caller of a kind could use any other's `stream`.
          keys: of the rows, distinct.
          stream: reads the rows of keys: (key, row). What it raises befalls its caller only; the others read then for
            themselves.
        """
        read, is_first, before = self._join(kind, keys)
        if not is_first:
            read.is_over.wait(time_left_s(self._waits_s[1]))
            return stream(keys) if read.found is None else _of_keys(read.found, keys)
        if before is not None:
            before.is_over.wait(time_left_s(self._waits_s[0]))
        self._begin(kind, read)
        try:
            if read.callers == 1:
                return stream(keys)
            read.found = dict(stream(sorted(read.keys)))
            return _of_keys(read.found, keys)
        finally:
            self._end(kind, read)

    def _join(self, kind: Hashable, keys: Sequence[bytes]) -> tuple[_Read[Any], bool, _Read[Any] | None]:
        """The read that will have these keys too, whether they are its first, and the read that is under way."""
        with self._lock:
            read = self._gathering.get(kind)
            is_first = read is None or len(read.keys) + len(keys) > self._most_keys
            if read is None or is_first:
                read = self._gathering[kind] = _Read()
            read.callers += 1
            read.keys.update(keys)
            return read, is_first, self._under_way.get(kind)

    def _begin(self, kind: Hashable, read: _Read[Any]) -> None:
        """Lets nobody join a read any more, and whoever comes wait for its end."""
        with self._lock:
            self._under_way[kind] = read
            if self._gathering.get(kind) is read:
                del self._gathering[kind]

    def _end(self, kind: Hashable, read: _Read[Any]) -> None:
        read.is_over.set()
        with self._lock:
            if self._under_way.get(kind) is read:
                del self._under_way[kind]


def _of_keys(found: dict[bytes, T], keys: Sequence[bytes]) -> Rows[T]:
    return [(key, found[key]) for key in keys if key in found]
