"""What waits to be delivered on one machine: messages of the embedded bus and tasks of the embedded queue."""

from __future__ import annotations

from shared.deliveries.file import LEASE_S, Deliveries
from shared.deliveries.values import (
    MESSAGE_KINDS,
    Counts,
    DeadLetter,
    Delivery,
    Failure,
    Kind,
    Lease,
    MessageKind,
    RetryPolicy,
)

__all__ = [
    "LEASE_S",
    "MESSAGE_KINDS",
    "Counts",
    "DeadLetter",
    "Deliveries",
    "Delivery",
    "Failure",
    "Kind",
    "Lease",
    "MessageKind",
    "RetryPolicy",
]
