"""Messages and tasks in a SQLite file until they are delivered: the durable heart of the embedded bus and queue.

Producers `add`; a dispatcher takes what is due with `lease`, posts it, and tells the outcome with `acknowledge` or
`retry`. What is leased when a dispatcher is killed is given back by `release_leases` when the next one starts, so that
everything is delivered at least once. The name of a task stays taken after it is done.
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shared.sqlite_file import SQLiteFile
from shared.tasks.protocol import Target

Kind = Literal["message"] | Target
"""What a delivery is: a message of the bus, or a task for a function."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL,
  attributes TEXT NOT NULL, body BLOB NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL, due_s REAL NOT NULL,
  reason TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, kind, due_s);
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS done (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""
_WAITING, _LEASED, _DEAD = "waiting", "leased", "dead"
_SELECT_LEASE = "SELECT id, kind, name, path, attributes, body, attempt"


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when a failed delivery is tried again.

    Attributes:
      attempts: deliveries before it becomes a dead letter.
      first_pause_s: pause after the first failure; each further one is twice as long.
      longest_pause_s: no pause is longer, but for one that the receiver asks for.
      jitter: share of the pause that is random, so that what failed together does not come back together.
    """

    attempts: int = 10
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    jitter: float = 0.5

    def pause_s(self, attempt: int, random_share: float) -> float:
        """The pause after that many attempts; `random_share` is a random number in [0, 1)."""
        pause_s = min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(attempt - 1, 60))
        return pause_s * (1 - self.jitter * random_share)


@dataclass(frozen=True)
class Delivery:
    """Something to deliver: a message (attributes and body) or a task (name, path and body)."""

    kind: Kind
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    path: str = ""


@dataclass(frozen=True)
class Lease:
    """A delivery that this dispatcher is to make now; `attempt` counts from 1."""

    id: int
    kind: Kind
    name: str
    path: str
    attributes: Mapping[str, str]
    body: bytes
    attempt: int


@dataclass(frozen=True)
class Failure:
    """A delivery that failed: why, and after how many seconds the receiver wants it again if it said so."""

    id: int
    reason: str
    pause_s: float | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that was given up, with the reason of its last failure."""

    lease: Lease
    reason: str


@dataclass(frozen=True)
class Counts:
    """How many deliveries of a kind wait, are being made, were made, and were given up."""

    waiting: int = 0
    leased: int = 0
    done: int = 0
    dead: int = 0


class Deliveries:
    """All deliveries of a file. Producers may be many processes and threads; one dispatcher at a time.

    All methods raise StorageUnavailableError if the file cannot be read or written.
    """

    def __init__(self, path: Path, policy: RetryPolicy | None = None) -> None:
        """Nothing is opened before the first use."""
        self._file = SQLiteFile(path, _SCHEMA)
        self._policy = policy or RetryPolicy()

    def add(self, deliveries: Iterable[Delivery], now_s: float | None = None) -> int:
        """Takes deliveries, all or none of them; those whose name is taken are left out.

        Args:
          deliveries: those with an empty name are always new.
          now_s: seconds since 1970 from which on they are due; now if None.

        Returns:
          How many were new.
        """
        batch = list(deliveries)
        due_s = time.time() if now_s is None else now_s

        def work(connection: sqlite3.Connection) -> int:
            fresh = [item for item in batch if not item.name or _take_name(connection, item.name)]
            connection.executemany(
                "INSERT INTO deliveries (kind, name, path, attributes, body, state, attempt, due_s, reason) "
                "VALUES (?, ?, ?, ?, ?, ?, 0, ?, '')",
                (
                    (item.kind, item.name, item.path, json.dumps(dict(item.attributes)), item.body, _WAITING, due_s)
                    for item in fresh
                ),
            )
            return len(fresh)

        return self._file.write(work) if batch else 0

    def lease(self, limit: int, now_s: float, kinds: Sequence[Kind] = ("message", "ingest", "compute")) -> list[Lease]:
        """Takes up to `limit` deliveries that are due; nobody else gets them until they are retried or released.

        Args:
          limit: most deliveries to take.
          now_s: seconds since 1970.
          kinds: which kinds, the most urgent first; within a kind the longest due come first.
        """

        def due(connection: sqlite3.Connection) -> list[tuple[int, Kind, str, str, str, bytes, int]]:
            rows: list[tuple[int, Kind, str, str, str, bytes, int]] = []
            for kind in kinds:
                rows += connection.execute(
                    f"{_SELECT_LEASE} FROM deliveries "
                    "WHERE state = ? AND kind = ? AND due_s <= ? ORDER BY due_s, id LIMIT ?",
                    (_WAITING, kind, now_s, limit - len(rows)),
                )
            return rows

        def work(connection: sqlite3.Connection) -> list[Lease]:
            rows = due(connection)
            connection.executemany(
                "UPDATE deliveries SET state = ?, attempt = attempt + 1 WHERE id = ?",
                ((_LEASED, row[0]) for row in rows),
            )
            return [_lease((*row[:-1], row[-1] + 1)) for row in rows]

        # an idle dispatcher asks often: look before taking the write lock
        return self._file.write(work) if self._file.read(due) else []

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Ends deliveries that were made; their bodies are dropped, names stay taken."""
        batch = [(lease_id,) for lease_id in ids]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO done (kind, count) SELECT kind, 1 FROM deliveries WHERE id = ? "
                "ON CONFLICT (kind) DO UPDATE SET count = count + 1",
                batch,
            )
            connection.executemany("DELETE FROM deliveries WHERE id = ?", batch)

        if batch:
            self._file.write(work)

    def retry(self, failures: Iterable[Failure], now_s: float) -> None:
        """Has failed deliveries made again after a pause; those that had all their attempts become dead letters."""
        batch = list(failures)

        def work(connection: sqlite3.Connection) -> None:
            for failure in batch:
                row = connection.execute("SELECT attempt FROM deliveries WHERE id = ?", (failure.id,)).fetchone()
                if row is not None:
                    pause_s = max(self._policy.pause_s(row[0], random.random()), failure.pause_s or 0.0)
                    connection.execute(
                        "UPDATE deliveries SET state = ?, due_s = ?, reason = ? WHERE id = ?",
                        (
                            _DEAD if row[0] >= self._policy.attempts else _WAITING,
                            now_s + pause_s,
                            failure.reason,
                            failure.id,
                        ),
                    )

        if batch:
            self._file.write(work)

    def release_leases(self) -> int:
        """Gives back what a killed dispatcher had leased, due at once. For a dispatcher's start; returns how many."""
        return self._file.write(
            lambda connection: (
                connection.execute("UPDATE deliveries SET state = ? WHERE state = ?", (_WAITING, _LEASED)).rowcount
            )
        )

    def counts(self) -> dict[Kind, Counts]:
        """How many deliveries of each kind are in which state; kinds that never were are left out."""

        def work(connection: sqlite3.Connection) -> dict[Kind, dict[str, int]]:
            found: dict[Kind, dict[str, int]] = {}
            for kind, state, count in connection.execute(
                "SELECT kind, state, count(*) FROM deliveries GROUP BY kind, state "
                "UNION ALL SELECT kind, 'done', count FROM done"
            ):
                found.setdefault(kind, {})[state] = count
            return found

        return {kind: Counts(**states) for kind, states in self._file.read(work).items()}

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """The dead letters, in the order they were added, at most `limit`."""
        rows = self._file.read(
            lambda connection: connection.execute(
                f"{_SELECT_LEASE}, reason FROM deliveries WHERE state = ? ORDER BY id LIMIT ?", (_DEAD, limit)
            ).fetchall()
        )
        return [DeadLetter(_lease(row[:-1]), row[-1]) for row in rows]

    def replay(self, now_s: float, ids: Iterable[int] | None = None) -> int:
        """Delivers dead letters again, with all their attempts; all of them if no ids are given. Returns how many."""
        only = None if ids is None else json.dumps(list(ids))
        return self._file.write(
            lambda connection: (
                connection.execute(
                    "UPDATE deliveries SET state = ?, attempt = 0, due_s = ?, reason = '' "
                    "WHERE state = ? AND (? IS NULL OR id IN (SELECT value FROM json_each(?)))",
                    (_WAITING, now_s, _DEAD, only, only or "[]"),
                ).rowcount
            )
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _take_name(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,)).rowcount == 1


def _lease(row: tuple[int, Kind, str, str, str, bytes, int]) -> Lease:
    delivery_id, kind, name, path, attributes, body, attempt = row
    return Lease(delivery_id, kind, name, path, json.loads(attributes), body, attempt)
