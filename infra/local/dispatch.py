"""The dispatcher of the local stack: it delivers messages and tasks, in the place of Pub/Sub and Cloud Tasks.

Messages go to the compute function as the CloudEvents that Eventarc makes of them, tasks to their function's path. An
answer of 2xx ends a delivery, any other has it made again after a pause, and what fails again and again becomes a dead
letter in the same file.
"""

from __future__ import annotations

import base64
import json
import signal
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import requests

from shared.cloud_events import PUBSUB_EVENT_TYPE
from shared.deliveries import Deliveries, Failure, Kind, Lease

POLL_S = 0.02
ANSWER_TIMEOUT_S = 900.0
MESSAGE_SLOTS = 2
INGEST_SLOTS = 1


@dataclass(frozen=True)
class Receivers:
    """Base addresses of the functions."""

    compute: str
    ingest: str

    def url(self, lease: Lease) -> str:
        """Where a delivery goes."""
        return (self.ingest if lease.kind == "ingest" else self.compute) + (lease.path or "/")


class Lane(threading.Thread):
    """Delivers one kind, a limited number at a time, so that edits need not wait for chunk tasks.

    Args:
      deliveries: what waits.
      kind: what this lane delivers.
      slots: how many at a time.
      receivers: where to.
      stopping: set to have the lane end; what is under way then is finished.
    """

    def __init__(
        self, deliveries: Deliveries, kind: Kind, slots: int, receivers: Receivers, stopping: threading.Event
    ) -> None:
        super().__init__(name=f"lane-{kind}")
        self._deliveries, self._kind, self._receivers, self._stopping = deliveries, kind, receivers, stopping
        self._slots = slots
        self._free = threading.Semaphore(slots)

    def run(self) -> None:
        """Delivers until it is told to stop."""
        with ThreadPoolExecutor(self._slots) as pool:
            while not self._stopping.is_set():
                self._free.acquire()
                leases = self._deliveries.lease(1, time.time(), [self._kind])
                for lease in leases:
                    pool.submit(self._deliver, lease)
                if not leases:
                    self._free.release()
                    self._stopping.wait(POLL_S)

    def _deliver(self, lease: Lease) -> None:
        try:
            failure = post(lease, self._receivers.url(lease))
            if failure is None:
                self._deliveries.acknowledge([lease.id])
            else:
                self._deliveries.retry([failure], time.time())
        finally:
            self._free.release()


def post(lease: Lease, url: str) -> Failure | None:
    """Makes one delivery; None if the receiver took it."""
    body, headers = envelope(lease) if lease.kind == "message" else (lease.body, _task_headers(lease))
    try:
        answer = requests.post(url, data=body, headers=headers, timeout=ANSWER_TIMEOUT_S)
    except requests.RequestException as error:
        return Failure(lease.id, type(error).__name__)
    if answer.ok:
        return None
    pause = answer.headers.get("Retry-After", "")
    return Failure(lease.id, f"{answer.status_code}: {answer.text[:500]}", float(pause) if pause.isdecimal() else None)


def envelope(lease: Lease) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of the CloudEvent, in binary mode, that carries a message."""
    message = {
        "messageId": str(lease.id),
        "attributes": dict(lease.attributes),
        "data": base64.b64encode(lease.body).decode(),
    }
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": str(uuid.uuid4()),
        "ce-type": PUBSUB_EVENT_TYPE,
        "ce-source": "//pubsub.googleapis.com/projects/local/topics/local",
    }
    return json.dumps({"message": message, "subscription": "projects/local/subscriptions/local"}).encode(), headers


def _task_headers(lease: Lease) -> Mapping[str, str]:
    # Named as Cloud Tasks names them.
    return {
        "Content-Type": "application/json",
        "X-CloudTasks-TaskName": lease.name,
        "X-CloudTasks-TaskRetryCount": str(lease.attempt - 1),
    }


@click.command()
@click.option(
    "--deliveries", "file", type=click.Path(path_type=Path), required=True, help="SQLite file of bus and queue."
)
@click.option("--compute", required=True, help="Base address of the compute function.")
@click.option("--ingest", required=True, help="Base address of the ingest function.")
@click.option("--workers", type=click.IntRange(min=1), required=True, help="Chunk tasks at a time.")
def main(file: Path, compute: str, ingest: str, workers: int) -> None:
    """Delivers until SIGTERM."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    deliveries = Deliveries(file)
    deliveries.release_leases()
    slots: dict[Kind, int] = {"message": MESSAGE_SLOTS, "ingest": INGEST_SLOTS, "compute": workers}
    receivers = Receivers(compute, ingest)
    lanes = [Lane(deliveries, kind, number, receivers, stopping) for kind, number in slots.items()]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()


if __name__ == "__main__":
    main()
