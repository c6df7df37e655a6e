"""Posting deliveries to the functions, as Pub/Sub and Cloud Tasks post them."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import requests

from shared.messages.cloud_events import PUBSUB_EVENT_TYPE
from shared.sqlite.delivery import MESSAGE_KINDS, Failure, Lease

ANSWER_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Receivers:
    """Base addresses of the functions.

    Attributes:
      compute: takes chunk tasks, and the messages that may wait.
      edits: takes urgent messages.
      ingest: takes expand tasks.
    """

    compute: str
    edits: str
    ingest: str

    def url(self, lease: Lease) -> str:
        """Where a delivery goes."""
        base = {"edit": self.edits, "message": self.compute, "compute": self.compute, "ingest": self.ingest}
        return base[lease.kind] + (lease.path or "/")


def post(lease: Lease, url: str) -> Failure | None:
    """Makes one delivery; None if the receiver took it."""
    body, headers = envelope(lease) if lease.kind in MESSAGE_KINDS else (lease.body, _task_headers(lease))
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
    body = {
        "message": message,
        "subscription": "projects/local/subscriptions/local",
        "deliveryAttempt": lease.attempt,  # as a subscription with a dead-letter topic counts
    }
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": str(uuid.uuid4()),
        "ce-type": PUBSUB_EVENT_TYPE,
        "ce-source": "//pubsub.googleapis.com/projects/local/topics/local",
    }
    return json.dumps(body).encode(), headers


def _task_headers(lease: Lease) -> Mapping[str, str]:
    # Named as Cloud Tasks names them.
    return {
        "Content-Type": "application/json",
        "X-CloudTasks-TaskName": lease.name,
        "X-CloudTasks-TaskRetryCount": str(lease.attempt - 1),
    }
