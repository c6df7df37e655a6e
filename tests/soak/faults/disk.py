"""Disks that are full, and files that are locked."""

from __future__ import annotations

import errno
import random
import sqlite3
import threading

from tests.soak.faults.base import Fault
from tests.soak.site import Site

_FILLER = "filler"


class FullDisk(Fault):
    """No byte can be written in the state folder."""

    name = "full-disk"
    longest_s = 15.0
    explains = ("storage cannot be reached", "storage is not available", "No space", "ConnectionError", "50[03]")

    def skip_reason(self, site: Site) -> str | None:
        return None if site.has_own_disk else "mounting a file system is not permitted here"

    def inject(self, site: Site, chance: random.Random) -> str:
        filled_bytes = 0
        with (site.state / _FILLER).open("wb", buffering=0) as file:
            for piece_bytes in (1 << 20, 1 << 12):
                piece = bytes(piece_bytes)
                try:
                    while True:
                        filled_bytes += file.write(piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        return f"{filled_bytes >> 20} MiB filled"

    def mend(self, site: Site) -> None:
        (site.state / _FILLER).unlink(missing_ok=True)


class LockedFile(Fault):
    """Another connection holds a SQLite file, now and then for longer than anybody waits for it."""

    name = "locked-file"
    longest_s = 8.0
    explains = ("storage cannot be reached", "storage is not available", "ConnectionError", "50[03]")

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def skip_reason(self, site: Site) -> str | None:
        return "there are no SQLite files" if site.on == "emulators" else None

    def inject(self, site: Site, chance: random.Random) -> str:
        file = site.state / chance.choice(["deliveries.db", "cache.db"])
        with self._lock:
            self._connection = sqlite3.connect(file, timeout=20, isolation_level=None, check_same_thread=False)
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                return f"{file.name} cannot be locked: {error}"
        return file.name

    def mend(self, site: Site) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class LongLockedFile(LockedFile):
    """As `LockedFile`, for longer than the deadline of a file, which is 30 s."""

    name = "long-locked-file"
    longest_s = 45.0
