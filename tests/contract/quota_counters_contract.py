"""What the counters of quotas promise, and what 20 instances make of them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest

from shared.lookup.quota import LeasedQuota, SharedCounters
from shared.store.quota import QuotaCounters

INSTANCES = 20
MINUTE = 29_000_000
START_S = 60.0 * MINUTE


class QuotaCountersContract:
    """A test class inherits this and gives `open_counters`, which opens the same ones once more each time."""

    @pytest.fixture
    def open_counters(self) -> Callable[[], QuotaCounters]:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, open_counters: Callable[[], QuotaCounters]) -> Iterator[Callable[[], QuotaCounters]]:
        """The same, closed in the end."""
        with ExitStack() as stack:

            def opened() -> QuotaCounters:
                counters = open_counters()
                stack.callback(counters.close)
                return counters

            yield opened

    @pytest.fixture
    def counter(self) -> str:
        """A name that no other test has used."""
        return f"requests user {uuid.uuid4().hex}"

    def test_what_is_added_is_summed(self, opened: Callable[[], QuotaCounters], counter: str) -> None:
        counters, others = opened(), opened()
        assert counters.add(counter, MINUTE, 5) == 5
        assert others.add(counter, MINUTE, 2**40) == 2**40 + 5
        assert counters.add(counter, MINUTE, -7) == 2**40 - 2
        assert others.add(counter, MINUTE, -(2**40)) == -2
        assert counters.add(counter, MINUTE, 0) == -2

    def test_counters_and_minutes_are_apart(self, opened: Callable[[], QuotaCounters], counter: str) -> None:
        counters = opened()
        names = (counter, f"{counter} ", f"{counter}#1", f"{counter} \u00fc/'\n", counter * 300)
        for amount, name in enumerate(names, 1):
            assert counters.add(name, MINUTE, amount) == amount
        assert counters.add(counter, MINUTE + 1, 9) == 9
        assert counters.add(counter, MINUTE - 1, 8) == 8
        assert [counters.add(name, MINUTE, 0) for name in names] == [1, 2, 3, 4, 5]

    def test_nothing_that_is_added_at_the_same_time_is_lost(
        self, opened: Callable[[], QuotaCounters], counter: str
    ) -> None:
        several = [opened() for _ in range(3)]
        with ThreadPoolExecutor(6) as threads:
            totals = list(threads.map(lambda n: several[n % 3].add(counter, MINUTE, 1), range(60)))
        assert sorted(totals) == list(range(1, 61))

    @pytest.mark.parametrize("share", [1.0, 0.5])
    def test_twenty_instances_grant_at_most_105_percent(
        self, opened: Callable[[], QuotaCounters], counter: str, share: float
    ) -> None:
        """A caller sends three times its limit, to all instances alike or half of it to one of them."""
        limit = 600
        instances = [
            LeasedQuota("requests", SharedCounters(partial(_same, opened())), clock=lambda: START_S)
            for _ in range(INSTANCES)
        ]
        chosen = random.Random(7)
        visits = [instances[chosen.randrange(INSTANCES) if chosen.random() < share else 0] for _ in range(3 * limit)]
        with ThreadPoolExecutor(8) as threads:
            granted = sum(threads.map(lambda quota: quota.take(counter, limit).granted, visits))
        assert 0.95 * limit <= granted <= 1.05 * limit

    def test_a_caller_that_meets_one_instance_only_gets_all_of_its_limit(
        self, opened: Callable[[], QuotaCounters], counter: str
    ) -> None:
        limit = 600
        quota = LeasedQuota("requests", SharedCounters(partial(_same, opened())), clock=lambda: START_S)
        with ThreadPoolExecutor(4) as threads:
            granted = sum(threads.map(lambda _: quota.take(counter, limit).granted, range(limit + 50)))
        assert granted == limit


def _same(counters: QuotaCounters) -> QuotaCounters:
    return counters
