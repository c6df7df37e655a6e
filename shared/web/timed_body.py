"""A request's body that must arrive within a time limit."""

from __future__ import annotations

import contextlib
import io
import socket
import time
from collections.abc import Mapping
from typing import IO, Any

from shared.errors import BrokenBodyError, SlowBodyError
from shared.web.alarms import Alarms


class BodyClock:
    """The time limit of the bodies of one process.

    Args:
      limit_s: longest from the first read of a body to its end.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.alarms = Alarms(limit_s)

    def timed(self, stream: IO[bytes], environ: Mapping[str, Any]) -> TimedBody:
        """The body of a request under the limit.

        Args:
          stream: the body as the server hands it over.
          environ: of the request. gunicorn puts the connection into it; of other servers a read that waits for the
            client cannot be ended, and the limit is looked at between reads only.
        """
        connection = environ.get("gunicorn.socket")
        return TimedBody(stream, connection if isinstance(connection, socket.socket) else None, self)


class TimedBody(io.RawIOBase):
    """A body that ends in an error of ours if it does not arrive whole and in time.

    A server's read returns when it has all that was asked for, and a time-out of the socket would begin anew with each
    byte that comes. So the connection's reading side is shut when the time is over, which ends a read that waits, in a
    body with a length as in a chunked one. The answer can still be sent, though no further request will be read.

    Reading raises `SlowBodyError` once the time is over, `BrokenBodyError` if the body cannot be read to its end;
    afterwards the body is at its end.
    """

    def __init__(self, stream: IO[bytes], connection: socket.socket | None, clock: BodyClock) -> None:
        self._stream = stream
        self._connection = connection
        self._clock = clock
        self._until_s: float | None = None
        self._alarm: int | None = None
        self._ended = False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer as far as the server gives bytes in one read; 0 at the end."""
        if self._ended:
            return 0
        if self._until_s is None:
            self._start()
        try:
            piece = self._stream.read(len(buffer))
        except Exception as error:  # each server has its own errors for what a client sends wrongly
            self._end()
            self._check_time()
            raise BrokenBodyError("the body was cut off, or its chunked framing is broken") from error
        if not piece or self._late():
            self._end()
            self._check_time()
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Lifts the limit; the server's stream stays open."""
        self._end()
        super().close()

    def _start(self) -> None:
        self._until_s = time.monotonic() + self._clock.limit_s
        if self._connection is not None:
            self._alarm = self._clock.alarms.set(self._shut)

    def _end(self) -> None:
        self._ended = True
        if self._alarm is not None:
            self._clock.alarms.cancel(self._alarm)
            self._alarm = None

    def _late(self) -> bool:
        return self._until_s is not None and time.monotonic() >= self._until_s

    def _check_time(self) -> None:
        if self._late():
            raise SlowBodyError(f"the body did not arrive within {self._clock.limit_s:g} s")

    def _shut(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):  # the client is gone already
                self._connection.shutdown(socket.SHUT_RD)
