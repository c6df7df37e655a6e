"""Callers who read at once share streams, and each gets its own rows, whatever befalls the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from shared.deadline import within
from shared.google.bigtable.joint import JointReads

LONG_S = 30.0
Rows = list[tuple[bytes, str]]


class Asked(list[bytes]):
    """Keys that tell when a read has taken them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(keys)
        self.taken = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        self.taken.set()
        return super().__iter__()


class Table:
    """Has a row of every key but those that begin with a dash.

    Attributes:
      streams: the keys of each that was read, in order.
      hold: called with a stream's keys before it is answered.
    """

    def __init__(self) -> None:
        self.streams: list[list[bytes]] = []
        self.hold: Callable[[Sequence[bytes]], object] = lambda _: None

    def stream(self, keys: Sequence[bytes]) -> Rows:
        self.streams.append(list(keys))
        self.hold(keys)
        return rows(*keys)


def rows(*keys: bytes) -> Rows:
    return [(key, f"row of {key.decode()}") for key in keys if not key.startswith(b"-")]


class Callers:
    """Callers in threads of their own, while a stream is under way until `end`."""

    def __init__(self, pool: ThreadPoolExecutor, reads: JointReads, table: Table) -> None:
        self._pool, self._reads, self._table = pool, reads, table
        self.end = threading.Event()

    def ask(self, *keys: bytes, kind: str = "kind") -> Future[Rows]:
        """Asks, and comes back when a read has taken the keys."""
        asked = Asked(keys)
        answer = self._pool.submit(lambda: self._reads.read(kind, asked, self._table.stream))
        assert asked.taken.wait(LONG_S)
        return answer


@contextmanager
def busy(reads: JointReads, table: Table) -> Iterator[Callers]:
    """Callers while somebody's stream, for b"busy", is under way."""
    with ThreadPoolExecutor(8) as pool:
        callers = Callers(pool, reads, table)
        began = threading.Event()

        def hold(keys: Sequence[bytes]) -> None:
            if list(keys) == [b"busy"]:
                began.set()
                assert callers.end.wait(LONG_S)

        table.hold = hold
        first = callers.ask(b"busy")
        assert began.wait(LONG_S)
        try:
            yield callers
        finally:
            callers.end.set()
        assert first.result(LONG_S) == rows(b"busy")


def patient(**arguments: float) -> JointReads:
    return JointReads(**{"wait_for_stream_s": LONG_S, "wait_for_rows_s": LONG_S, **arguments})  # type: ignore[arg-type]


def test_who_is_alone_reads_its_keys_at_once_in_its_own_thread() -> None:
    table, threads = Table(), []
    table.hold = lambda _: threads.append(threading.current_thread())
    assert patient().read("kind", [b"b", b"-", b"a"], table.stream) == rows(b"b", b"a")
    assert (table.streams, threads) == ([[b"b", b"-", b"a"]], [threading.current_thread()])


def test_who_asks_meanwhile_shares_the_next_stream_and_gets_its_own_rows() -> None:
    table = Table()
    with busy(patient(), table) as callers:
        answers = [callers.ask(b"c", b"a"), callers.ask(b"-", b"c"), callers.ask(b"b")]
        same = callers.ask(b"c")
    assert [answer.result(LONG_S) for answer in answers] == [rows(b"c", b"a"), rows(b"c"), rows(b"b")]
    assert same.result(LONG_S) == rows(b"c")
    assert table.streams == [[b"busy"], [b"-", b"a", b"b", b"c"]]


def test_a_shared_stream_has_no_more_keys_than_it_may() -> None:
    table = Table()
    with busy(patient(most_keys=3), table) as callers:
        answers = [callers.ask(b"a", b"b"), callers.ask(b"d", b"e"), callers.ask(b"f")]
    assert [answer.result(LONG_S) for answer in answers] == [rows(b"a", b"b"), rows(b"d", b"e"), rows(b"f")]
    assert sorted(table.streams[1:]) == [[b"a", b"b"], [b"d", b"e", b"f"]]


def test_whoever_reads_something_else_neither_shares_nor_waits() -> None:
    table = Table()
    with busy(patient(), table) as callers:
        first = callers.ask(b"a")
        assert callers.ask(b"b", kind="other").result(LONG_S) == rows(b"b")
        assert not first.done()
    assert first.result(LONG_S) == rows(b"a")
    assert table.streams == [[b"busy"], [b"b"], [b"a"]]


def test_what_a_stream_fails_with_befalls_one_and_the_others_read_for_themselves() -> None:
    table = Table()
    with busy(patient(), table) as callers:
        answers = [callers.ask(b"a"), callers.ask(b"b"), callers.ask(b"c")]
        held = table.hold

        def fail(keys: Sequence[bytes]) -> None:
            held(keys)
            if len(keys) == 3:
                raise OSError("broke off")

        table.hold = fail
    with pytest.raises(OSError, match="broke off"):
        answers[0].result(LONG_S)
    assert [answer.result(LONG_S) for answer in answers[1:]] == [rows(b"b"), rows(b"c")]
    assert table.streams[1] == [b"a", b"b", b"c"]
    assert sorted(table.streams[2:]) == [[b"b"], [b"c"]]


def test_a_stream_that_hangs_keeps_nobody_from_reading() -> None:
    table, reads = Table(), patient(wait_for_stream_s=0.01)
    with busy(reads, table) as callers:
        assert callers.ask(b"a").result(LONG_S) == rows(b"a")
        assert callers.ask(b"b").result(LONG_S) == rows(b"b")


@pytest.mark.parametrize(("wait_s", "limit_s"), [(0.05, LONG_S), (LONG_S, 0.05)])
def test_who_joined_a_stream_that_hangs_reads_for_itself_soon_and_within_its_own_time(
    wait_s: float, limit_s: float
) -> None:
    table, reads = Table(), patient(wait_for_rows_s=wait_s)
    with busy(reads, table) as callers:
        first = callers.ask(b"a")
        with within(limit_s):
            assert reads.read("kind", [b"b"], table.stream) == rows(b"b")
        assert not first.done()
    assert first.result(LONG_S) == rows(b"a")


def test_a_read_frees_its_stream_whatever_comes_of_it() -> None:
    table, reads = Table(), patient()
    table.hold = lambda _: (_ for _ in ()).throw(OSError("broke off"))
    for _ in range(2):
        with pytest.raises(OSError, match="broke off"):
            reads.read("kind", [b"a"], table.stream)
    table.hold = lambda _: None
    with within(1.0):
        assert reads.read("kind", [b"a"], table.stream) == rows(b"a")
