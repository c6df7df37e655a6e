"""The embedded bus: messages wait in a SQLite file for the local dispatcher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.deliveries import Deliveries, Delivery


class SQLitePublisher:
    """The `Publisher` of one file, which may also hold the queue of tasks."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first use."""
        self._deliveries = Deliveries(path)

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        """As `Publisher.publish`."""
        self._deliveries.add([Delivery("message", data, attributes)])

    def close(self) -> None:
        """As `Publisher.close`."""
        self._deliveries.close()
