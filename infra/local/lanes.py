"""Lanes: threads that deliver one kind of delivery each, and continue after the file of deliveries was unavailable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from infra.local.posting import Receivers, post
from shared.errors import StorageUnavailableError
from shared.sqlite.deliveries import LEASE_S, Deliveries
from shared.sqlite.delivery import Failure, Kind, Lease
from shared.telemetry.log import event, get_logger

T = TypeVar("T")
POLL_S = 0.02
OUTAGE_POLL_S = 0.5
RENEW_S = LEASE_S / 4
_logger = get_logger("dispatch")


class DeliveriesFile:
    """The file of deliveries as one dispatcher uses it: what cannot be done while it is unavailable is done later.

    All methods raise StorageUnavailableError only while the dispatcher is stopping; what could not be written down then
    is delivered again by the next one.

    Args:
      deliveries: the file.
      stopping: set to end all waiting.
    """

    def __init__(self, deliveries: Deliveries, stopping: threading.Event) -> None:
        self._deliveries = deliveries
        self._stopping = stopping
        self._lock = threading.Lock()
        self._held: set[int] = set()

    def release(self) -> None:
        """Gives back what the dispatcher before had leased."""
        self._retry_until_available(self._deliveries.release_leases)

    def next(self, kind: Kind) -> Lease | None:
        """Waits for a delivery of that kind; it is leased until it is settled. None when the dispatcher is stopping."""
        while not self._stopping.is_set():
            leases = self._retry_until_available(
                lambda: self._deliveries.lease(1, time.time(), [kind], self._all_held())
            )
            if leases:
                with self._lock:
                    self._held.add(leases[0].id)
                return leases[0]
            self._stopping.wait(POLL_S)
        return None

    def settle(self, lease: Lease, failure: Failure | None) -> None:
        """Writes down how a delivery ended, as soon as the file takes it."""
        if failure is None:
            self._retry_until_available(lambda: self._deliveries.acknowledge([lease.id]))
        else:
            self._retry_until_available(lambda: self._deliveries.retry([failure], time.time()))
        with self._lock:
            self._held.discard(lease.id)

    def renew(self) -> None:
        """Renews the leases of all that is not settled yet."""
        self._retry_until_available(lambda: self._deliveries.renew(self._all_held(), time.time()))

    def _all_held(self) -> list[int]:
        with self._lock:
            return list(self._held)

    def _retry_until_available(self, work: Callable[[], T]) -> T:
        """What `work` gives, retried while the file is unavailable; begin and end of that are logged."""
        unavailable_since_s: float | None = None
        while True:
            try:
                result = work()
            except StorageUnavailableError as error:
                if unavailable_since_s is None:
                    unavailable_since_s = time.monotonic()
                    event(
                        _logger,
                        logging.WARNING,
                        "deliveries are unavailable",
                        reason=str(error.__cause__ or error),
                        thread=_thread(),
                    )
                if self._stopping.wait(OUTAGE_POLL_S):
                    raise
            else:
                if unavailable_since_s is not None:
                    unavailable_s = round(time.monotonic() - unavailable_since_s, 1)
                    event(
                        _logger,
                        logging.INFO,
                        "deliveries are available again",
                        unavailable_s=unavailable_s,
                        thread=_thread(),
                    )
                return result


class Lane:
    """Delivers one kind, a limited number at a time, so that no kind has to wait for another.

    Args:
      kind: what this lane delivers.
      slots: how many at a time.
      file: where the deliveries are.
      receivers: where they go.
    """

    def __init__(self, kind: Kind, slots: int, file: DeliveriesFile, receivers: Receivers) -> None:
        self._kind, self._file, self._receivers = kind, file, receivers
        self._asking = threading.Lock()
        self._slots = [threading.Thread(target=self._serve, name=f"{kind}-{n}", daemon=True) for n in range(slots)]

    def start(self) -> None:
        """Starts delivering."""
        for slot in self._slots:
            slot.start()

    def join(self) -> None:
        """Waits until all slots have ended, which they do when the dispatcher is stopping and after their delivery."""
        for slot in self._slots:
            slot.join()

    def _serve(self) -> None:
        # while stopping, and only then, the file may be unavailable: what it could not take is delivered again
        with suppress(StorageUnavailableError):
            while (lease := self._next()) is not None:
                self._file.settle(lease, post(lease, self._receivers.url(lease)))

    def _next(self) -> Lease | None:
        with self._asking:  # one slot asks for all that are free
            return self._file.next(self._kind)


def _thread() -> str:
    return threading.current_thread().name
