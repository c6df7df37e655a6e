"""Leases of a shared counter: what instances grant together, what they ask of the counter, and when it is away."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import StorageUnavailableError
from shared.lookup.quota import LeasedQuota, SharedCounters


class Clock:
    def __init__(self, now_s: float = 6000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class MemoryCounters:
    """Counters in memory that can fail, before or after they have added."""

    def __init__(self) -> None:
        self.totals: Counter[tuple[str, int]] = Counter()
        self.calls = 0
        self.failing = ""
        self._lock = threading.Lock()

    def add(self, counter: str, minute: int, amount: int) -> int:
        with self._lock:
            self.calls += 1
            if self.failing == "before":
                raise StorageUnavailableError("storage is not available")
            self.totals[counter, minute] += amount
            if self.failing == "after":
                raise StorageUnavailableError("storage is not available")
            return self.totals[counter, minute]

    def close(self) -> None:
        pass


def instances(counters: MemoryCounters, count: int, clock: Clock, most_callers: int = 10_000) -> list[LeasedQuota]:
    return [LeasedQuota("requests", SharedCounters(lambda: counters, clock), most_callers, clock) for _ in range(count)]


def granted(quota: LeasedQuota, caller: str, limit: int, requests: int) -> int:
    return sum(quota.take(caller, limit).granted for _ in range(requests))


@pytest.mark.parametrize("limit", [1, 3, 20, 600, 6000])
def test_a_caller_of_one_instance_gets_its_limit_and_no_more(limit: int) -> None:
    (quota,) = instances(MemoryCounters(), 1, Clock())
    assert granted(quota, "a", limit, 2 * limit) == limit


def test_most_requests_ask_no_counter() -> None:
    counters = MemoryCounters()
    (quota,) = instances(counters, 1, Clock())
    assert granted(quota, "a", 600, 300) == 300
    assert counters.calls < 30
    assert granted(quota, "a", 600, 600) == 300
    # of the last forty each asks, of those that are refused one a second
    assert counters.calls < 120


def test_callers_and_minutes_are_apart() -> None:
    clock = Clock()
    (quota,) = instances(MemoryCounters(), 1, clock)
    assert [granted(quota, caller, 5, 20) for caller in ("a", "b", "c")] == [5, 5, 5]
    clock.now_s += 59.9
    assert granted(quota, "a", 5, 20) == 0
    clock.now_s += 0.1
    assert granted(quota, "a", 5, 20) == 5


@pytest.mark.parametrize("limit", [399, 400, 600, 5000])
@pytest.mark.parametrize("burst", [1, 7, 1000])
def test_twenty_instances_grant_at_most_105_percent_in_whatever_order_they_are_met(limit: int, burst: int) -> None:
    several = instances(MemoryCounters(), 20, Clock())
    order = random.Random(limit * burst)
    had, asked = 0, 0
    while asked < 3 * limit:
        quota, asked = order.choice(several), asked + burst
        had += granted(quota, "a", limit, burst)
    had += sum(granted(quota, "a", limit, 100) for quota in several)
    assert 0.95 * limit <= had <= (limit if limit < 400 else 1.05 * limit)


def test_who_comes_seldom_asks_no_counter() -> None:
    clock, counters = Clock(), MemoryCounters()
    several = instances(counters, 20, clock)
    for _ in range(3):
        assert all(quota.take("a", 600).granted for quota in several)
        clock.now_s += 60
    assert counters.calls == 0


@given(
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60), st.floats(0, 0.5)), max_size=80),
)
def test_instances_never_grant_more_than_the_limit_whatever_is_asked(
    limit: int, visits: list[tuple[int, int, float]]
) -> None:
    clock, counters = Clock(), MemoryCounters()
    several = instances(counters, 5, clock)
    sums: Counter[int] = Counter()
    for number, wanted, pause_s in visits:
        clock.now_s += pause_s
        balance = several[number].take("a", limit, wanted)
        sums[balance.reset_s] += wanted * balance.granted
        assert 0 <= balance.remaining <= limit
    assert max(sums.values(), default=0) <= limit
    assert all(0 <= total <= limit for total in counters.totals.values())


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), st.sampled_from(["", "", "", "after"])), max_size=60))
def test_an_answer_that_gets_lost_lets_nobody_have_more_of_the_shared_counter(
    visits: list[tuple[int, int, str]],
) -> None:
    counters = MemoryCounters()
    several = instances(counters, 3, Clock())
    had = 0
    for number, wanted, counters.failing in visits:
        had += wanted * several[number].take("a", 60, wanted).granted
    # what an instance grants alone is bounded by itself
    assert had <= 3 * 60
    counters.failing = ""
    fresh = instances(counters, 1, Clock())[0]
    assert had + granted(fresh, "a", 60, 200) <= 3 * 60


def test_who_was_refused_much_may_still_have_little_anywhere() -> None:
    first, second = instances(MemoryCounters(), 2, Clock())
    assert first.take("a", 100, 60).granted
    assert not second.take("a", 100, 50).granted
    assert first.take("a", 100, 30).granted
    assert second.take("a", 100, 10).granted
    assert not second.take("a", 100, 1).granted


def test_the_balance_counts_down_to_nothing() -> None:
    clock = Clock(6001.5)
    (quota,) = instances(MemoryCounters(), 1, clock)
    balances = [quota.take("a", 50) for _ in range(52)]
    assert [balance.remaining for balance in balances] == [*range(49, -1, -1), 0, 0]
    assert {(balance.limit, balance.reset_s) for balance in balances} == {(50, 6060)}


def test_a_refused_caller_is_let_in_when_another_instance_gives_back() -> None:
    clock, counters = Clock(), MemoryCounters()
    (quota,) = instances(counters, 1, clock)
    counters.add("requests a", 100, 10)
    assert not quota.take("a", 10).granted
    counters.add("requests a", 100, -10)
    calls = counters.calls
    assert not quota.take("a", 10).granted
    assert counters.calls == calls
    clock.now_s += 1
    assert quota.take("a", 10).granted


class TestAway:
    def test_the_instance_counts_alone_without_waiting_and_that_is_logged_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock, counters = Clock(), MemoryCounters()
        (quota,) = instances(counters, 1, clock)
        assert granted(quota, "a", 50, 20) == 20
        counters.failing, calls = "before", counters.calls
        with caplog.at_level(logging.INFO, logger="l2cache"):
            assert granted(quota, "a", 50, 60) == 30
            assert granted(quota, "b", 50, 60) == 50
            assert counters.calls == calls + 1
            assert quota.take("b", 50).remaining == 0
            for _ in range(300):
                clock.now_s += 1
                quota.take("c", 1)
        assert caplog.messages == ["quotas are counted in this instance alone"]
        # once more after 1, 2, 4, ... 60 s
        assert counters.calls <= calls + 12

    def test_what_was_granted_meanwhile_is_reported_afterwards(self, caplog: pytest.LogCaptureFixture) -> None:
        clock, counters = Clock(), MemoryCounters()
        quota, other = instances(counters, 2, clock)
        counters.failing = "before"
        assert granted(quota, "a", 50, 30) == 30
        counters.failing = ""
        clock.now_s += 2
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="l2cache"):
            assert quota.take("a", 50).granted
        assert caplog.messages == ["quotas are counted with the other instances again"]
        assert granted(quota, "a", 50, 100) + granted(other, "a", 50, 100) == 19

    def test_without_counters_each_instance_counts_for_itself(self, caplog: pytest.LogCaptureFixture) -> None:
        quota = LeasedQuota("requests", SharedCounters(None), clock=Clock())
        with caplog.at_level(logging.INFO, logger="l2cache"):
            assert granted(quota, "a", 50, 60) == 50
        assert not caplog.messages


def test_of_too_many_callers_the_quietest_are_forgotten_and_get_no_more() -> None:
    (quota,) = instances(MemoryCounters(), 1, Clock(), most_callers=3)
    sums: defaultdict[str, int] = defaultdict(int)
    for _ in range(6):
        for caller in "abcde":
            sums[caller] += granted(quota, caller, 3, 1)
    assert len(quota) == 3
    assert sums == dict.fromkeys("abcde", 3)


def test_threads_share_a_lease() -> None:
    (quota,) = instances(MemoryCounters(), 1, Clock())
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(granted(quota, "a", 500, 200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 500
