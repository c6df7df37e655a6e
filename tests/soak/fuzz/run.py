"""One whole fuzz: all kinds of requests and messages, and a report."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from random import Random

from tests.soak.fuzz import kinds
from tests.soak.fuzz.campaign import Campaign, Failure
from tests.soak.fuzz.kinds import Maker
from tests.soak.selection import chosen

RECORDED = Path(os.environ.get("L2CACHE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


def fuzz(seed: int, requests: int, messages: int, only: Collection[str], without: Collection[str]) -> int:
    """Sends malformed requests and messages to the functions, prints what failed; the exit status.

    Args:
      seed: of all chance.
      requests: how many.
      messages: how many, tasks among them.
      only: kinds of cases; all if empty.
      without: kinds that are left out.
    """
    recorded = RECORDED if RECORDED.is_dir() else None
    memory = Path("/dev/shm")  # noqa: S108  # worlds are small and many
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if memory.is_dir() else None) as folder:
        canary = Path(folder) / "canary"
        parts = [kinds.requests(recorded), kinds.messages_and_tasks(recorded, canary)]
        names = chosen([name for part in parts for name in part], only, without)
        print(f"kinds: {', '.join(names)}", flush=True)
        campaign = Campaign(Path(folder), canary)
        start_s = time.monotonic()
        try:
            for number, (part, count) in enumerate(zip(parts, (requests, messages), strict=True)):
                makers: Mapping[str, Maker] = {name: make for name, make in part.items() if name in names}
                if makers:
                    campaign.run(makers, count, Random(f"{seed}/{number}"))
        finally:  # also of what there was before somebody ended it
            _report(campaign, time.monotonic() - start_s)
    return 1 if campaign.failures else 0


def _report(campaign: Campaign, seconds: float) -> None:
    for number, failure in enumerate(campaign.failures.values(), 1):
        print(f"\n{number}. {described(failure)}")
    sent = sum(campaign.statuses.values())
    print(f"\n{sent} sent in {seconds:.0f} s, probes and repetitions among them. Answers:")
    for function in ("lookup", "compute", "ingest"):
        counts = {status: n for (name, status), n in campaign.statuses.items() if name == function and n}
        refused = counts.pop(None, 0)
        told = ", ".join(f"{n} x {status}" for status, n in sorted(counts.items()))
        print(f"  {function}: {told or 'none'}; {refused} refused by the server, or without an answer")
    kinds_of_failure = len(campaign.failures)
    times = sum(failure.times for failure in campaign.failures.values())
    print(f"{kinds_of_failure} kinds of failures, {times} cases" if kinds_of_failure else "no failures")


def described(failure: Failure) -> str:
    """A failure for people: what, how often, the request, and how it is had again."""
    detail = f"\n   {failure.complaint.detail[:400]}" if failure.complaint.detail else ""
    return f"{failure.complaint.what} ({failure.times} times){detail}\n   {failure.case}\n   fails {failure.how}"
