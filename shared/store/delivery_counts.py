"""Deliveries of a message or task that ended without an answer: the process died, perhaps of what it was given.

Whoever delivers counts all deliveries, if at all (a push subscription does if it has a dead-letter topic, Google's
emulator never does). So those that were answered, with a failure, are counted beside the cache's rows, and where nobody
else counts those that were begun as well. A delivery that succeeds at once leaves nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from shared.store.protocol import CacheStore

_NAME_DIGITS = 32


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

    def begin(self) -> int:
        """Counts a delivery where nobody else does; how many there were, this one included."""
        begun, answered = self._read()
        self._write(begun + 1, answered)
        return begun + 1

    def answer(self) -> None:
        """Counts that a delivery is answered, with a failure."""
        begun, answered = self._read()
        self._write(begun, answered + 1)

    def deaths(self, attempt: int) -> int:
        """How many deliveries before the one of that number (from 1) ended without an answer."""
        return max(0, attempt - 1 - self._read()[1]) if attempt > 1 else 0

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
