"""A SQLite file that many processes and threads write to at once, without ever seeing that it is locked."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from shared.deadline import time_left_s
from shared.errors import ConfigurationError, StorageUnavailableError
from shared.sqlite.schema import bring_up_to_date

T = TypeVar("T")

_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.5
_LONGEST_BUSY_S = 5.0
_IDLE_CONNECTIONS = 8


def sqlite_path(address: str) -> Path:
    """The file of an address `sqlite:///ABSOLUTE/FILE`.

    Raises:
      ConfigurationError: if the address has another form, or the file's directory does not exist.
    """
    parts = urlsplit(address)
    path = Path(unquote(parts.path))
    if parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or not path.name:
        raise ConfigurationError("a SQLite address must be sqlite:///ABSOLUTE/FILE")
    if not path.parent.is_dir():
        raise ConfigurationError("a SQLite address names a directory that does not exist")
    return path


class SQLiteFile:
    """Connections to a file in WAL mode; safe for threads, and across a fork.

    A write that has returned survives `kill -9` and, as far as the disk keeps its promises, a loss of power.
    """

    def __init__(self, path: Path, schema: str, deadline_s: float = 30.0) -> None:
        """Nothing is opened before the first use.

        Args:
          path: the file; made on first use.
          schema: statements that make what is not there yet (`CREATE TABLE IF NOT EXISTS ...`); see
            `bring_up_to_date` for files that were made with another one.
          deadline_s: how long a read or write waits for others before it fails, unless the answer's deadline (see
            `shared.deadline`) comes before.
        """
        self._path = path
        self._schema = schema
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._of_parent: list[sqlite3.Connection] = []
        self._owner = os.getpid()
        self._has_schema = False

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, given a connection that sees one state of the file throughout.

        Args:
          work: reads only; called again if the file was locked.

        Raises:
          StorageUnavailableError: if SQLite fails, or the file stays locked beyond the deadline.
          SchemaMismatchError: if the file has other tables than the schema's.
        """
        return self._transaction("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, given a connection in a transaction of its own; durable when this returns.

        Args:
          work: reads and writes; called again if the file was locked. Nothing of it stays if it raises.

        Raises:
          StorageUnavailableError: if SQLite fails, or the file stays locked beyond the deadline.
          SchemaMismatchError: if the file has other tables than the schema's.
        """
        return self._transaction("BEGIN IMMEDIATE", work)

    def close(self) -> None:
        """Closes the idle connections; the next use opens new ones."""
        for connection in self._take_idle():
            connection.close()

    def _transaction(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        give_up_at = time.monotonic() + time_left_s(self._deadline_s)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._attempt(begin, work)
            except sqlite3.Error as error:
                if not _is_busy(error) or time.monotonic() + pause_s > give_up_at:
                    # SQLite's own words, "disk I/O error" for example, name no file
                    raise StorageUnavailableError(
                        f"storage is not available ({type(error).__name__}: {error})"
                    ) from error
            time.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _attempt(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection()
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * self._busy_timeout_s())}")
            connection.execute(begin)
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            # closing rolls back, and leaves no doubt about the state of the connection
            connection.close()
            raise
        self._give_back(connection)
        return result

    def _connection(self) -> sqlite3.Connection:
        with self._lock:
            if self._owner == os.getpid() and self._idle:
                return self._idle.pop()
        connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout_s(), isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -16384")
            if not self._has_schema:
                bring_up_to_date(connection, self._schema)
                self._has_schema = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _busy_timeout_s(self) -> float:
        """How long SQLite itself may wait for a lock."""
        return time_left_s(min(self._deadline_s, _LONGEST_BUSY_S))

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._owner != os.getpid():
                # forked: the parent's connections must be neither used nor closed here, so they are kept aside
                self._of_parent, self._owner, self._idle = self._idle, os.getpid(), []
            if len(self._idle) < _IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _take_idle(self) -> list[sqlite3.Connection]:
        with self._lock:
            idle, self._idle = self._idle, []
            return idle if self._owner == os.getpid() else []


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _BUSY_CODES
