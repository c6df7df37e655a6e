from __future__ import annotations

import math
import threading

import flask
from hypothesis import given
from hypothesis import strategies as st

from shared.lookup.caller import caller_of_request
from shared.lookup.rate import MinuteShares


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def taken(shares: MinuteShares, caller: str, asked: int) -> int:
    """How many of so many, asked for one by one, were granted."""
    return sum(shares.take(caller) for _ in range(asked))


def test_a_caller_gets_its_share_and_no_more() -> None:
    assert taken(MinuteShares(5, clock=Clock()), "a", 20) == 5


def test_callers_do_not_take_from_each_other() -> None:
    shares = MinuteShares(5, clock=Clock())
    assert [taken(shares, caller, 20) for caller in ("a", "b", "c")] == [5, 5, 5]


def test_zero_means_no_limit_and_nothing_remembered() -> None:
    shares = MinuteShares(0)
    assert (shares.take("a", 10**9), shares.wait_s("a"), len(shares)) == (10**9, 0.0, 0)


def test_who_waits_as_told_is_let_in_again() -> None:
    clock = Clock()
    shares = MinuteShares(7, clock=clock)
    assert taken(shares, "a", 8) == 7
    wait_s = shares.wait_s("a")
    assert 0 < wait_s <= 60
    clock.now_s += math.ceil(wait_s)
    assert shares.take("a") == 1


@given(st.integers(1, 30), st.lists(st.tuples(st.floats(0, 50), st.integers(1, 20)), max_size=30))
def test_no_minute_sees_more_than_two_shares(per_minute: int, visits: list[tuple[float, int]]) -> None:
    clock = Clock()
    shares = MinuteShares(per_minute, clock=clock)
    allowed: list[float] = []
    for pause_s, asked in visits:
        clock.now_s += pause_s
        allowed += [clock.now_s] * taken(shares, "a", asked)
    for start in allowed:
        assert sum(start <= at < start + 60 for at in allowed) <= 2 * per_minute


def test_of_too_many_callers_the_quietest_are_forgotten() -> None:
    shares = MinuteShares(1, most_callers=3, clock=Clock())
    for caller in "abca":
        shares.take(caller)
    shares.take("d")
    assert len(shares) == 3
    assert [shares.take(caller) for caller in "acd"] == [0, 0, 0]
    assert shares.take("b") == 1


@given(st.integers(1, 30), st.lists(st.tuples(st.floats(0, 50), st.integers(0, 40)), max_size=30))
def test_many_at_once_are_given_as_far_as_the_share_goes(per_minute: int, visits: list[tuple[float, int]]) -> None:
    clock, one_clock = Clock(), Clock()
    at_once, singly = MinuteShares(per_minute, clock=clock), MinuteShares(per_minute, clock=one_clock)
    for pause_s, wanted in visits:
        clock.now_s += pause_s
        one_clock.now_s += pause_s
        granted = at_once.take("a", wanted)
        assert granted == sum(singly.take("a") for _ in range(wanted))
        assert granted == wanted or 0 < at_once.wait_s("a") <= 60


def test_threads_share_one_bucket() -> None:
    shares = MinuteShares(50, clock=Clock())
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(taken(shares, "a", 40))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 50


class TestCaller:
    app = flask.Flask("caller")

    def test_a_user_is_one_caller_wherever_it_comes_from(self) -> None:
        names = set()
        for address in ("10.0.0.1", "10.0.0.2"):
            with self.app.test_request_context(environ_base={"REMOTE_ADDR": address}):
                flask.g.auth_user = {"id": 17, "name": "somebody"}
                names.add(caller_of_request())
        assert names == {"user 17"}

    def test_without_a_user_the_address_counts_that_the_platform_saw(self) -> None:
        # The first is what the sender claims, the last what Google's front end appended.
        headers = {"X-Forwarded-For": "1.2.3.4, 203.0.113.9"}
        with self.app.test_request_context(headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.1"}):
            assert caller_of_request() == "address 203.0.113.9"

    def test_without_a_front_end_the_connection_counts(self) -> None:
        with self.app.test_request_context(environ_base={"REMOTE_ADDR": "10.0.0.1"}):
            flask.g.auth_user = {"id": 0, "name": "AUTH_DISABLED"}
            assert caller_of_request() == "address 10.0.0.1"
