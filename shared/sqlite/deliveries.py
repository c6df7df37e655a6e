"""Deliveries in a SQLite file: what the embedded bus and queue keep.

Producers `add`; a dispatcher takes what is due with `lease`, posts it, and tells the outcome with `acknowledge` or
`retry`. A lease ends by itself after a while unless it is renewed: what was leased by a process that died, or that
could not write the outcome down, is leased again. So everything is delivered at least once. A dispatcher that starts
need not wait for that: `release_leases` ends the leases of the one before. The name of a task stays taken after it is
done.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from shared.sqlite.delivery import Counts, DeadLetter, Delivery, Failure, Kind, Lease, RetryPolicy
from shared.sqlite.file import SQLiteFile

LEASE_S = 60.0
"""How long a lease lasts by default."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL,
  attributes TEXT NOT NULL, body BLOB NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL, due_s REAL NOT NULL,
  reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, kind, due_s);
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS done (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""
# `due_s` is when a waiting delivery is due, and when a lease ends. Files of the time before leases ended have it in the
# past for what is leased: such a lease has ended.
_WAITING, _LEASED, _DEAD = "waiting", "leased", "dead"
_AT_ONCE_S = 0.0
_SELECT_DUE = (
    "SELECT id, kind, name, path, attributes, body, attempt FROM deliveries "
    "WHERE state = ? AND kind = ? AND due_s BETWEEN ? AND ? AND id NOT IN (SELECT value FROM json_each(?)) "
    "ORDER BY due_s, id LIMIT ?"
)
_INSERT = (
    "INSERT INTO deliveries (kind, name, path, attributes, body, state, attempt, due_s, reason) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_Row = tuple[int, Kind, str, str, str, bytes, int]


class Deliveries:
    """All deliveries of a file. Producers may be many processes and threads; one dispatcher at a time.

    All methods raise StorageUnavailableError if the file cannot be read or written.
    """

    def __init__(
        self, path: Path, policy: RetryPolicy | None = None, lease_s: float = LEASE_S, deadline_s: float = 30.0
    ) -> None:
        """Nothing is opened before the first use.

        Args:
          path: the file; made on first use.
          policy: of what failed.
          lease_s: how long a lease lasts if it is not renewed.
          deadline_s: how long each method waits for a file that others have locked.
        """
        self._file = SQLiteFile(path, _SCHEMA, deadline_s)
        self._policy = policy or RetryPolicy()
        self._lease_s = lease_s

    def add(self, deliveries: Iterable[Delivery], now_s: float | None = None) -> int:
        """Takes deliveries, all or none of them; those whose name is taken are left out.

        Args:
          deliveries: those with an empty name are always new.
          now_s: seconds since 1970 from which on they are due, at most some minutes ahead; now if None.

        Returns:
          How many were new.
        """
        batch = list(deliveries)
        due_s = time.time() if now_s is None else now_s

        def work(connection: sqlite3.Connection) -> int:
            fresh = [item for item in batch if not item.name or _take_name(connection, item.name)]
            connection.executemany(_INSERT, [_new_row(item, _WAITING, due_s) for item in fresh])
            return len(fresh)

        return self._file.write(work) if batch else 0

    def add_dead_letter(self, delivery: Delivery, attempts: int, reason: str) -> None:
        """Takes a delivery that was given up elsewhere, after that many attempts, as a dead letter."""
        row = _new_row(delivery, _DEAD, time.time(), attempts, reason)
        self._file.write(lambda connection: connection.execute(_INSERT, row))

    def lease(
        self,
        limit: int,
        now_s: float,
        kinds: Sequence[Kind] = ("edit", "message", "ingest", "compute"),
        held: Collection[int] = (),
    ) -> list[Lease]:
        """Takes up to `limit` deliveries that are due; they are exclusive until they are retried or the lease ends.

        Args:
          limit: most deliveries to take.
          now_s: seconds since 1970.
          kinds: which kinds, the most urgent first; within a kind those whose lease has ended, then the longest due.
          held: deliveries that the caller has under way: they are left out even if their leases could not be renewed.
        """
        held_ids = json.dumps(list(held))

        def due(connection: sqlite3.Connection) -> list[_Row]:
            rows: list[_Row] = []
            for kind in kinds:
                for state, from_s, to_s in self._due_times(now_s):
                    rows += connection.execute(_SELECT_DUE, (state, kind, from_s, to_s, held_ids, limit - len(rows)))
            return rows

        def work(connection: sqlite3.Connection) -> list[Lease]:
            rows = due(connection)
            connection.executemany(
                "UPDATE deliveries SET state = ?, attempt = attempt + 1, due_s = ? WHERE id = ?",
                ((_LEASED, now_s + self._lease_s, row[0]) for row in rows),
            )
            return [_lease((*row[:-1], row[-1] + 1)) for row in rows]

        # an idle dispatcher asks often: look before taking the write lock
        return self._file.write(work) if self._file.read(due) else []

    def renew(self, ids: Iterable[int], now_s: float) -> None:
        """Has the leases of deliveries that are still under way last from now on."""
        batch = [(now_s + self._lease_s, lease_id, _LEASED) for lease_id in ids]
        if batch:
            self._file.write(
                lambda connection: connection.executemany(
                    "UPDATE deliveries SET due_s = ? WHERE id = ? AND state = ?", batch
                )
            )

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
                    pause_s = self._policy.pause_s(row[0], random.random(), failure.pause_s)
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
                connection.execute(
                    "UPDATE deliveries SET state = ?, due_s = ? WHERE state = ?", (_WAITING, _AT_ONCE_S, _LEASED)
                ).rowcount
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
                "SELECT id, kind, name, path, attributes, body, attempt, reason FROM deliveries "
                "WHERE state = ? ORDER BY id LIMIT ?",
                (_DEAD, limit),
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

    def _due_times(self, now_s: float) -> Iterator[tuple[str, float, float]]:
        """States and times of deliveries that are due.

        No delivery is ever due further ahead than its lease or pause lasts. One that is has been written before the
        clock was set back, and would wait for the old time to come again.
        """
        longest_pause_s = max(self._policy.longest_pause_s, self._policy.longest_asked_pause_s)
        for state, longest_s in ((_LEASED, self._lease_s), (_WAITING, longest_pause_s)):
            yield state, -math.inf, now_s
            # twice: others may have taken their time a little later
            yield state, now_s + 2 * longest_s, math.inf


def _take_name(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,)).rowcount == 1


def _new_row(item: Delivery, state: str, due_s: float, attempts: int = 0, reason: str = "") -> tuple[object, ...]:
    attributes = json.dumps(dict(item.attributes))
    return item.kind, item.name, item.path, attributes, item.body, state, attempts, due_s, reason


def _lease(row: _Row) -> Lease:
    delivery_id, kind, name, path, attributes, body, attempt = row
    return Lease(delivery_id, kind, name, path, json.loads(attributes), body, attempt)
