from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from typing import IO, cast

import pytest

from shared.errors import BrokenBodyError, SlowBodyError
from shared.web.alarms import Alarms
from shared.web.timed_body import BodyClock


class TestAlarms:
    def test_what_is_not_cancelled_is_called_in_order(self) -> None:
        alarms = Alarms(0.02)
        called: list[str] = []
        done = threading.Event()
        alarms.set(lambda: called.append("first"))
        alarms.cancel(alarms.set(lambda: called.append("cancelled")))
        alarms.set(lambda: called.append("second"))
        alarms.set(done.set)
        assert done.wait(30)
        assert called == ["first", "second"]
        assert len(alarms) == 0

    def test_alarms_ring_again_after_a_quiet_time(self) -> None:
        alarms = Alarms(0.001)
        for _ in range(20):
            rung = threading.Event()
            number = alarms.set(rung.set)
            assert rung.wait(30)
            alarms.cancel(number)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's and the client's end of a connection."""
    server, client = socket.socketpair()
    with server, client:
        client.settimeout(30)
        yield server, client


class Failing(io.RawIOBase):
    """A server's stream that finds the framing broken."""

    def read(self, _size: int = -1) -> bytes:
        raise KeyError("whatever the server calls it")


def patient() -> BodyClock:
    return BodyClock(60.0)


def test_a_body_is_read_to_its_end_and_leaves_no_alarm(ends: tuple[socket.socket, socket.socket]) -> None:
    clock = patient()
    body = clock.timed(io.BytesIO(b"0123456789"), {"gunicorn.socket": ends[0]})
    assert body.read(4) == b"0123"
    assert len(clock.alarms) == 1
    assert body.read() == b"456789"
    assert len(clock.alarms) == 0


def test_a_body_that_is_left_unread_leaves_no_alarm(ends: tuple[socket.socket, socket.socket]) -> None:
    clock = patient()
    with clock.timed(io.BytesIO(b"0123456789"), {"gunicorn.socket": ends[0]}) as body:
        body.read(1)
    assert len(clock.alarms) == 0


def test_a_read_that_waits_ends_when_the_time_is_over(ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    with server.makefile("rb") as stream:
        body = BodyClock(0.05).timed(stream, {"gunicorn.socket": server})
        client.sendall(b"some")
        with pytest.raises(SlowBodyError, match=r"0\.05 s"):
            body.read(1000)
        assert body.read(1000) == b""
    server.sendall(b"the answer")
    assert client.recv(100) == b"the answer"


def test_without_a_connection_the_time_is_looked_at_between_reads() -> None:
    body = BodyClock(1e-9).timed(io.BytesIO(b"0123456789"), {})
    with pytest.raises(SlowBodyError):
        body.read(4)
    assert body.read(4) == b""


def test_what_the_server_finds_wrong_is_a_broken_body() -> None:
    body = patient().timed(cast(IO[bytes], Failing()), {})
    with pytest.raises(BrokenBodyError, match="framing is broken"):
        body.read(4)
    assert body.read(4) == b""
