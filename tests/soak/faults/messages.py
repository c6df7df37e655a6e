"""Messages and tasks that come twice, late and in another order, or that are none."""

from __future__ import annotations

import base64
import json
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from infra.standin.world.parameters import TABLE
from shared.bus.open import open_bus
from shared.messages.messages import encode_misses
from tests.soak.faults.base import Fault, RepeatedFault
from tests.soak.load.http import ask
from tests.soak.site import Site
from tests.soak.world import L2CACHE_ID

EDIT_ATTRIBUTES = {"table_id": TABLE, "user_id": "0", "remesh": "true", "remesh_priority": "true"}
_MISS_IDS = 30
MOST_GENERATIONS = 100_000
"""Nobody resumes a run as often."""


class Repetitions(RepeatedFault):
    """What was published is published again, and tasks are delivered beside the queue, in a random order."""

    name = "repetitions"
    every_s = (0.1, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[tuple[str, bytes]] = []

    def strike(self, site: Site, chance: random.Random) -> str:
        if chance.random() < 0.5:
            return self._tasks_again(site, chance)
        messages: list[tuple[str, dict[str, str], bytes]] = [
            ("edits_bus", EDIT_ATTRIBUTES, pickle.dumps(dict(edit), protocol=4)) for edit in site.edits[-50:]
        ]
        ids = np.array(chance.sample(site.world.initial_ids, _MISS_IDS), dtype=np.uint64)
        messages += [("bus", attributes, data) for attributes, data in encode_misses(TABLE, L2CACHE_ID, ids, 80)]
        chosen = chance.choices(messages, k=chance.randrange(1, 15))
        places = site.stack.places
        try:
            for bus_name, attributes, data in chosen:
                with closing(open_bus(places[bus_name])) as bus:
                    bus.publish(attributes, data)
        except Exception as error:  # noqa: BLE001  # whatever a bus raises that is away just now
            return f"no messages: {type(error).__name__}"
        return f"{len(chosen)} messages"

    def _tasks_again(self, site: Site, chance: random.Random) -> str:
        try:
            self._tasks = [*self._tasks, *site.storage.tasks()][-500:]
        except Exception as error:  # noqa: BLE001  # whatever a queue raises that is away just now
            return f"no tasks: {type(error).__name__}"
        chosen = chance.sample(self._tasks, min(len(self._tasks), 4))
        for function, body in chosen:
            url, path = (
                (site.stack.ingest_url, "expand") if function == "ingest" else (site.stack.compute_url, "chunks")
            )
            ask(site, "POST", f"{url}/{path}", data=body)
        return f"{len(chosen)} tasks" if chosen else ""


class Junk(Fault):
    """Messages and tasks that are none, and forged ones: they are acknowledged, and nothing comes of them."""

    name = "junk"
    longest_s = 1.0

    def inject(self, site: Site, chance: random.Random) -> str:
        bodies = [
            *_junk_tasks(chance),
            b"",
            b"nonsense",
            b"[" * 100_000,
            b"{}",
            b'{"message": 7}',
            chance.randbytes(500),
        ]
        for body in bodies:
            for url in (f"{site.stack.compute_url}/chunks", f"{site.stack.ingest_url}/expand", site.stack.compute_url):
                answer = ask(site, "POST", url, data=body)
                if answer.status == 200:
                    site.complain(f"{url} has done something for {body[:300]!r}: {answer.document}")
        for data in (pickle.dumps(print), b"\x80\x04.", b"cos\nsystem\n(Vtrue\ntR.", b"1234567", b""):
            envelope = {"message": {"attributes": EDIT_ATTRIBUTES, "data": base64.b64encode(data).decode()}}
            ask(site, "POST", site.stack.compute_url, json=envelope)
        return f"{len(bodies)} bodies"


def _junk_tasks(chance: random.Random) -> list[bytes]:
    run: dict[str, Any] = {
        "graph_id": TABLE,
        "table_id": L2CACHE_ID,
        "timestamp": "2026-06-01 00:00:00",
        "block": "0_0_0-2_2_2",
        "leaf_chunks": 1,
        "started_s": 1.0,
        "unit": [1, 1, 1],
        "batch_chunks": 1,
        "generation": 0,
        "resumed_s": 0.0,
        "retry_from": 0,
    }
    wrong: list[dict[str, Any]] = [
        {"leaf_chunks": 0},
        {"leaf_chunks": -1},
        {"unit": [0, 0, 0]},
        {"started_s": float("inf")},
        {"generation": float("inf")},
        {"timestamp": "226-06-01 00:00:00"},
        {"block": "1_1_1-0_0_0"},
    ]
    tasks = [{"run": {**run, **change}, "block": run["block"], "part": 0} for change in wrong]
    tasks.append({"run": run, "block": run["block"], "part": float("inf")})
    tasks.append({"run": {**run, "leaf_chunks": 8}, "block": "0_0_0-1_1_1", "part": 0})
    return [json.dumps(task).encode() for task in chance.sample(tasks, len(tasks))]


class UnknownIds(Fault):
    """A look-up of thousands of ids that never existed."""

    name = "unknown-ids"
    longest_s = 1.0

    def inject(self, site: Site, chance: random.Random) -> str:
        unknown = site.world.unknown_chunk_ids
        start = chance.randrange(len(unknown) // 2)
        ids = list(unknown[start : start + 5000])
        url = f"{site.stack.lookup_url}/l2cache/api/v1/table/{TABLE}/attributes"
        answer = ask(site, "POST", url, also=(429,), json={"l2_ids": ids})
        if answer.ok and any(answer.document.values()):
            site.complain("an id that never existed has a row")
        return f"{len(ids)} ids"


class SimultaneousStarts(Fault):
    """Several starts at the same instant, the present run being cancelled: one run at most goes on."""

    name = "simultaneous-starts"
    longest_s = 1.0

    def __init__(self) -> None:
        self._moment = datetime(2026, 5, 1, tzinfo=UTC)

    def inject(self, site: Site, chance: random.Random) -> str:
        url = site.stack.ingest_url
        # Moments that nobody has asked for: a run that is finished would be no start.
        moments = [f"{self._moment + timedelta(seconds=number % 2):%Y-%m-%d %H:%M:%S}" for number in range(4)]
        self._moment += timedelta(seconds=2)

        ask(site, "POST", f"{url}/cancel", also=(404, 409), json={"dataset": TABLE})

        def start(moment: str) -> int:
            return ask(site, "POST", f"{url}/start", also=(409,), json={"dataset": TABLE, "timestamp": moment}).status

        with ThreadPoolExecutor(len(moments)) as pool:
            statuses = list(pool.map(start, moments))
        answer = ask(site, "GET", f"{url}/runs", also=(404,), params={"dataset": TABLE})
        runs = answer.document["runs"] if answer.ok else []
        for run in runs:
            if run["generation"] > MOST_GENERATIONS:
                site.complain(f"run {run['run_id']} is of generation {run['generation']}")
        running = [run["run_id"] for run in runs if run["state"] == "running" and "kind" not in run]
        if len(running) > 1:
            site.complain(f"{len(running)} ingests of one table go on at once: {running}")
        return f"answered {statuses}"
