"""The dispatcher of the local stack: it delivers messages and tasks, in the place of Pub/Sub and Cloud Tasks.

Messages go to the compute function as the CloudEvents that Eventarc makes of them, urgent ones to its second service;
tasks go to their function's path. An answer of 2xx ends a delivery, any other has it made again after a pause, and what
fails again and again becomes a dead letter in the same file.

A disk that is full and a file that is locked are waited out. Any other failure of a thread ends the process, so that
the stack starts it again: it never lives on without one of its lanes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from infra.local.lanes import RENEW_S, DeliveriesFile, Lane
from infra.local.posting import Receivers
from shared.errors import StorageUnavailableError
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Kind, RetryPolicy
from shared.telemetry.log import configure, get_logger

MESSAGE_SLOTS = 2
INGEST_SLOTS = 1
_logger = get_logger("dispatch")


def end_with_any_thread() -> None:
    """Has the process end with status 1 and a log record as soon as one of its threads fails."""

    def end(failed: threading.ExceptHookArgs) -> None:
        try:
            name = failed.thread.name if failed.thread else ""
            exception = failed.exc_value or failed.exc_type()
            _logger.critical("the dispatcher ends", exc_info=exception, extra={"fields": {"thread": name}})
        finally:
            os._exit(1)  # not by unwinding: that would wait for deliveries that are under way

    threading.excepthook = end


def dispatch(
    file: DeliveriesFile,
    slots: Mapping[Kind, int],
    receivers: Receivers,
    stopping: threading.Event,
    renew_s: float = RENEW_S,
) -> None:
    """Delivers until it is told to stop; what is under way then is finished.

    Args:
      file: the deliveries.
      slots: deliveries at a time of each kind.
      receivers: where they go.
      stopping: tells it to stop.
      renew_s: time between renewals of what is under way.
    """

    def renew() -> None:
        with suppress(StorageUnavailableError):  # when it is stopping
            while not stopping.wait(renew_s):
                file.renew()

    file.release()
    lanes = [Lane(kind, number, file, receivers) for kind, number in slots.items()]
    threading.Thread(target=renew, name="renewal", daemon=True).start()
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()


@click.command()
@click.option(
    "--deliveries", "path", type=click.Path(path_type=Path), required=True, help="SQLite file of bus and queue."
)
@click.option("--compute", required=True, help="Base address of the compute function.")
@click.option("--edits", required=True, help="Base address of its second service, for urgent messages.")
@click.option("--ingest", required=True, help="Base address of the ingest function.")
@click.option("--workers", type=click.IntRange(min=1), required=True, help="Chunk tasks at a time.")
@click.option("--edit-workers", type=click.IntRange(min=1), required=True, help="Urgent messages at a time.")
@click.option("--deadline-s", type=float, default=30.0, show_default=True, help="Longest wait for a locked file.")
@click.option(
    "--longest-pause-s",
    type=float,
    help="Longest wait before what failed is delivered again, also if a function asks for a longer one.",
)
def main(
    path: Path,
    compute: str,
    edits: str,
    ingest: str,
    workers: int,
    edit_workers: int,
    deadline_s: float,
    longest_pause_s: float | None,
) -> None:
    """Delivers until SIGTERM."""
    configure("INFO")
    end_with_any_thread()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    slots: dict[Kind, int] = {
        "edit": edit_workers,
        "message": MESSAGE_SLOTS,
        "ingest": INGEST_SLOTS,
        "compute": workers,
    }
    policy = RetryPolicy()
    if longest_pause_s is not None:
        policy = RetryPolicy(longest_pause_s=longest_pause_s, longest_asked_pause_s=longest_pause_s)
    deliveries = Deliveries(path, policy, deadline_s=deadline_s)
    file = DeliveriesFile(deliveries, stopping)
    dispatch(file, slots, Receivers(compute, edits, ingest), stopping)


if __name__ == "__main__":
    main()
