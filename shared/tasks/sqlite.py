"""The embedded queue: tasks wait in a SQLite file for the local dispatcher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Delivery
from shared.tasks.protocol import Task


class SQLiteTaskQueue:
    """The `TaskQueue` of one file, which may also hold the messages of the bus."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first use."""
        self._deliveries = Deliveries(path)

    def enqueue(self, tasks: Sequence[Task]) -> int:
        """As `TaskQueue.enqueue`; all tasks are taken or none."""
        return self._deliveries.add([Delivery(task.target, task.body, {}, task.name, task.path) for task in tasks])

    def close(self) -> None:
        """As `TaskQueue.close`."""
        self._deliveries.close()
