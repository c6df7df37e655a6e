"""What quotas add to a look-up: `python -m tests.bench.bench_quota [--rounds N]`.

Callers with a limit of 600 requests in a minute at 1 to 20 instances of the function, whose counters lie on Google's
Bigtable emulator (or in a SQLite file): the milliseconds that each request waits for its quota, how many requests asked
the counter, and what all instances granted of three times the limit.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.local.emulators import bigtable_emulator
from infra.measurements.goals import at_most
from infra.measurements.record import Table, measuring, record_option
from shared.google.bigtable.clients import DataClients
from shared.lookup.quota import LeasedQuota, SharedCounters
from shared.store.open import open_counters
from shared.store.quota import QuotaCounters

LIMIT = 600
GOAL_MEAN_MS, GOAL_SHARE = 2.0, 1.05
NOW_S = 60.0 * 29_000_000


@dataclass(frozen=True)
class Case:
    """Callers that come to instances.

    Attributes:
      name: for the table.
      instances: how many there are.
      callers: how many come.
      requests: of each of them in the minute, at an instance by chance.
    """

    name: str
    instances: int
    callers: int
    requests: int


CASES = (
    Case("one caller up to its limit, 1 instance", 1, 1, LIMIT),
    Case("one caller up to its limit, 20 instances", 20, 1, LIMIT),
    Case("one caller with 3 x its limit, 20 instances", 20, 1, 3 * LIMIT),
    Case("100 callers with 30 requests, 5 instances", 5, 100, 30),
    Case("1,000 callers with 3 requests, 5 instances", 5, 1_000, 3),
)


class Counting:
    """Counters that count how often they are asked."""

    def __init__(self, counters: QuotaCounters) -> None:
        self._counters, self.calls = counters, 0

    def add(self, counter: str, minute: int, amount: int) -> int:
        self.calls += 1
        return self._counters.add(counter, minute, amount)

    def close(self) -> None:
        self._counters.close()


def measure(counters: Counting, case: Case) -> tuple[np.ndarray, float]:
    """Milliseconds of each request: float[requests]; and what each caller was granted of its limit, the most of all."""
    several = [
        LeasedQuota("requests", SharedCounters(lambda: counters), clock=lambda: NOW_S) for _ in range(case.instances)
    ]
    chosen = random.Random(1)
    callers = [uuid.uuid4().hex for _ in range(case.callers)]
    visits = [caller for caller in callers for _ in range(case.requests)]
    chosen.shuffle(visits)
    granted = dict.fromkeys(callers, 0)
    times = []
    for caller in visits:
        quota = chosen.choice(several)
        start_s = time.perf_counter()
        granted[caller] += quota.take(caller, LIMIT).granted
        times.append((time.perf_counter() - start_s) * 1000)
    return np.array(times), max(granted.values()) / LIMIT


def report(table: Table, name: str, counters: Counting, cases: Iterable[Case], rounds: int) -> None:
    """Measures the cases with one store of counters."""
    counters.add("first", 0, 1)
    waits_ms, shares = list[float](), list[float]()
    for case in cases:
        calls = counters.calls
        measured = [measure(counters, case) for _ in range(rounds)]
        times = np.concatenate([times for times, _ in measured])
        most = max(share for _, share in measured)
        mean_ms, asked = float(times.mean()), (counters.calls - calls) / len(times)
        p99_ms = float(np.percentile(times, 99))
        table.add(counter=name, callers=case.name, mean_ms=mean_ms, p99_ms=p99_ms, asked=asked, most=most)
        waits_ms.append(mean_ms)
        shares.append(most)
    at_most(f"a request's mean wait for its quota, {name}", max(waits_ms), GOAL_MEAN_MS, "ms")
    at_most(f"the most that a caller gets of its limit, {name}", max(shares), GOAL_SHARE)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    record_option(parser)
    options = parser.parse_args()
    with ExitStack() as stack:
        emulator = stack.enter_context(bigtable_emulator())
        os.environ.update(emulator.environment)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clients = DataClients()
        table = stack.enter_context(measuring("quota", record=options.record))
        for name, address in (
            ("Bigtable emulator", "bigtable://local/local"),
            ("SQLite file", f"sqlite://{folder}/quota.db"),
        ):
            counters = Counting(open_counters(address, clients))
            stack.callback(counters.close)
            report(table, name, counters, CASES, options.rounds)


if __name__ == "__main__":
    main()
