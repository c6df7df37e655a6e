"""A TCP proxy in front of an emulator, which can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

_PIECE_BYTES = 1 << 16


class Tunnel:
    """Listens on a free port of loopback and passes everything on.

    Args:
      target: gives the address behind it, asked anew for each connection.
    """

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        threading.Thread(target=self._accept, name="tunnel", daemon=True).start()

    def cut(self) -> int:
        """Breaks all connections, and each new one until `mend`; returns how many there were."""
        with self._lock:
            self._is_cut = True
            broken = list(self._open)
        for one in broken:
            _end(one)
        return len(broken) // 2

    def mend(self) -> None:
        """Lets connections through again."""
        self._is_cut = False

    def close(self) -> None:
        """Ends it for good."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                _end(client)
                continue
            try:
                server = socket.create_connection(self._target(), timeout=5)
                server.settimeout(None)
            except OSError:
                _end(client)
                continue
            with self._lock:
                self._open |= {client, server}
            for one, other in ((client, server), (server, client)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(_PIECE_BYTES):
                other.sendall(piece)
        for end in (one, other):
            _end(end)
        with self._lock:
            self._open -= {one, other}


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
