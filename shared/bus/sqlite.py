"""The embedded bus: messages wait in a SQLite file for the local dispatcher, dead letters for an operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.bus.dead_letters import ATTEMPTS_ATTRIBUTE, MESSAGE_ID_ATTRIBUTE, REASON_ATTRIBUTE, original_attributes
from shared.messages.messages import is_urgent
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Delivery, MessageKind


class SQLitePublisher:
    """The `Publisher` of one file, which may also hold the queue of tasks."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first use."""
        self._deliveries = Deliveries(path)

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        """As `Publisher.publish`."""
        self._deliveries.add([Delivery(_kind(attributes), data, attributes)])

    def close(self) -> None:
        """As `Publisher.close`."""
        self._deliveries.close()


class SQLiteDeadLetters:
    """The `Publisher` of a file's dead letters: what `DeadLetterBox` publishes stays until it is replayed."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first use."""
        self._deliveries = Deliveries(path)

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        """As `Publisher.publish`, with the attributes that a `DeadLetterBox` adds: they are no part of the message."""
        original = original_attributes(attributes)
        letter = Delivery(_kind(original), data, original, attributes[MESSAGE_ID_ATTRIBUTE])
        self._deliveries.add_dead_letter(letter, int(attributes[ATTEMPTS_ATTRIBUTE]), attributes[REASON_ATTRIBUTE])

    def close(self) -> None:
        """As `Publisher.close`."""
        self._deliveries.close()


def _kind(attributes: Mapping[str, str]) -> MessageKind:
    return "edit" if is_urgent(attributes) else "message"
