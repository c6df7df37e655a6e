"""Threads of the engine share out a range: all of it, once, and none waits for what another is busy with."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.features.threads import Ranges, in_ranges, in_turns


@given(count=st.integers(0, 100), threads=st.integers(1, 5))
def test_a_range_is_shared_out_whole_and_once(count: int, threads: int) -> None:
    taken = in_turns(list, count, threads)
    assert sorted(i for pieces in taken for begin, end in pieces for i in range(begin, end)) == list(range(count))
    assert all(pieces == sorted(pieces) for pieces in taken)
    assert len(taken) <= threads
    ranges = in_ranges(lambda begin, end: list(range(begin, end)), count, threads)
    assert [i for part in ranges for i in part] == list(range(count))


def test_one_thread_gets_all_at_once() -> None:
    assert in_turns(list, 1000, 1) == [[(0, 1000)]]


def test_others_do_what_a_thread_has_no_time_for() -> None:
    others_are_through = threading.Event()

    def work(pieces: Ranges) -> int:
        done = 0
        for begin, end in pieces:
            if begin == 0 and not others_are_through.wait(10):
                raise TimeoutError("pieces wait for a thread that is busy")
            done += end - begin
            if end == 160:
                others_are_through.set()
        return done

    assert sorted(in_turns(work, 160, 2)) == [10, 150]


def test_an_error_in_a_thread_is_raised() -> None:
    def fail(_: Ranges) -> None:
        raise ValueError("of a thread")

    with pytest.raises(ValueError, match="of a thread"):
        in_turns(fail, 10, 2)
