"""Deliveries of a message or task that ended without an answer: the process died, perhaps of what it was given.

Whoever delivers counts all deliveries, if at all (a push subscription does if it has a dead-letter topic, Google's
emulator never does), and those that never arrived, since the function was away, among them. So those that arrived and
those that were answered, with a failure, are counted beside the cache's rows. A first delivery leaves nothing there
if somebody counts: that it arrived is taken for granted of whatever comes again.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from shared.store.protocol import CacheStore

DEATHS_BEFORE_ISOLATION = 2
"""After so many deliveries without an answer, its chunks are computed by a process of their own."""

_NAME_DIGITS = 32


@dataclass(frozen=True)
class Arrival:
    """A delivery that has arrived.

    Attributes:
      attempt: its number, from 1.
      deaths: how many before it arrived as well and ended without an answer.
    """

    attempt: int
    deaths: int


@dataclass(frozen=True)
class DeliveryCounts:
    """The deliveries of what is not settled yet. All methods raise what `CacheStore` raises.

    Attributes:
      store: the cache tables, in whose marks they are counted.
      table_id: the table.
      name: of the message or task.
    """

    store: CacheStore
    table_id: str
    name: str

    def begin(self, attempt: int | None) -> Arrival:
        """Counts a delivery that has arrived.

        Args:
          attempt: how often it was sent, from 1, if whoever delivers counts; else None.
        """
        if attempt == 1:
            return Arrival(1, 0)
        begun, answered = self._read()
        before = begun if attempt is None else max(begun, 1)
        self._write(before + 1, answered)
        return Arrival(attempt or before + 1, max(0, before - answered))

    def answer(self) -> None:
        """Counts that a delivery is answered, with a failure."""
        begun, answered = self._read()
        self._write(begun, answered + 1)

    def settle(self) -> None:
        """Forgets what is not to come again."""
        self.store.write_marks(self.table_id, {self._key: None})

    @property
    def _key(self) -> str:
        # hashed, since a bus may name its messages as it likes
        digest = sha256(self.name.encode(errors="replace")).hexdigest()[:_NAME_DIGITS]
        return f"delivery/{digest[0]}/{digest}"

    def _read(self) -> tuple[int, int]:
        value = self.store.read_marks(self.table_id, self._key).get(self._key, b"0 0")
        begun, _, answered = value.partition(b" ")
        return (int(begun), int(answered)) if begun.isdigit() and answered.isdigit() else (0, 0)

    def _write(self, begun: int, answered: int) -> None:
        self.store.write_marks(self.table_id, {self._key: b"%d %d" % (begun, answered)})
