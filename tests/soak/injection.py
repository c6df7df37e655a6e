"""Beginning and ending faults as planned."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.soak.schedule import Planned
from tests.soak.site import Site


def inject(site: Site, schedule: Sequence[Planned], round_s: float) -> None:
    """Begins and ends faults; returns when the time is over and the last of them has ended.

    Each has a thread of its own: one that has to wait for what another one stopped keeps no third from ending.

    Raises:
      Exception: what a fault raised that is itself at fault, after all have ended.
    """
    over = threading.Event()
    start_s = time.monotonic()

    def there(one: Planned) -> None:
        if over.wait(start_s + one.from_s - time.monotonic()):
            return
        try:
            done = one.fault.inject(site, random.Random(one.seed))
            site.count(one.fault.name)
            site.say(f"{one.fault.name}: {done}; for {one.until_s - one.from_s:.1f} s")
            over.wait(start_s + one.until_s - time.monotonic())
        finally:
            one.fault.mend(site)
            site.say(f"over: {one.fault.name}")

    with ThreadPoolExecutor(max(1, len(schedule)), "fault") as threads:
        running = [threads.submit(there, one) for one in schedule]
        try:
            time.sleep(max(0.0, start_s + round_s - time.monotonic()))
        finally:
            over.set()
    for one in running:
        one.result()
