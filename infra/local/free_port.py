"""Free ports on loopback, of which no two processes get the same."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import threading
from collections import deque
from pathlib import Path

_RESERVED_AT_ONCE = 64
_TRIES = 100


class PortReservations:
    """Ports that processes of this user found free, and may not listen at yet. May be used by many threads.

    A server written in Java takes a second until it listens. Who looks for a port meanwhile must not find the same one:
    clients of one server would speak to the other. A reservation is a lock of one byte of a file, as far from its
    beginning as the port's number says. The kernel lifts it when its process ends.

    Args:
      file: of the locks; made if it is not there.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file: int | None = None
        self._own: deque[int] = deque()
        self._lock = threading.Lock()

    def take(self, port: int) -> bool:
        """Reserves a port, unless somebody has it; of many the first ones, whose servers listen, are given up."""
        with self._lock:
            if port in self._own:
                return False
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            except (BlockingIOError, PermissionError):  # by the system, it is either
                return False
            self._own.append(port)
            if len(self._own) > _RESERVED_AT_ONCE:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._own.popleft())
            return True


_RESERVATIONS = PortReservations(Path(tempfile.gettempdir()) / f"l2cache-ports-{os.getuid()}")


def free_port(preferred: int = 0) -> int:
    """A free port on loopback: the preferred one if it is free, else one that nobody else is given.

    Raises:
      OSError: if there is none.
    """
    if preferred and _bound(preferred):
        return preferred
    for _ in range(_TRIES):
        port = _bound(0)
        if port and _RESERVATIONS.take(port):
            return port
    raise OSError("no free port on 127.0.0.1")


def _bound(port: int) -> int:
    """The port, or any for 0, at which one could listen just now; 0 if somebody does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
