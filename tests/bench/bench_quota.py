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


def report(name: str, counters: Counting, cases: Iterable[Case], rounds: int) -> None:
    """Measures the cases and prints a table."""
    counters.add("first", 0, 1)
    print(f"\n{name:<48}{'mean':>8}{'p50':>8}{'p99':>8}{'asked':>9}{'granted':>9}   ms")
    for case in cases:
        calls = counters.calls
        measured = [measure(counters, case) for _ in range(rounds)]
        times = np.concatenate([times for times, _ in measured])
        most = max(share for _, share in measured)
        mean_ms, asked = times.mean(), (counters.calls - calls) / len(times)
        p50_ms, p99_ms = np.percentile(times, [50, 99])
        print(f"{case.name:<48}{mean_ms:8.3f}{p50_ms:8.3f}{p99_ms:8.2f}{asked:9.1%}{most:9.1%}", flush=True)
        if mean_ms > GOAL_MEAN_MS or most > GOAL_SHARE:
            print(f"         goal: mean of {GOAL_MEAN_MS:g} ms, {GOAL_SHARE:.0%} of the limit: missed")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        emulator = stack.enter_context(bigtable_emulator())
        os.environ.update(emulator.environment)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clients = DataClients()
        for name, address in (
            ("Bigtable emulator", "bigtable://local/local"),
            ("SQLite file", f"sqlite://{folder}/quota.db"),
        ):
            counters = Counting(open_counters(address, clients))
            stack.callback(counters.close)
            report(name, counters, CASES, options.rounds)


if __name__ == "__main__":
    main()
