"""Several queues as one, since a queue of Cloud Tasks hands out 500 tasks a second and no more."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from shared.tasks.protocol import Task, TaskQueue


class SpreadQueue:
    """The `TaskQueue` over several others: a task's name says into which it goes, so that its twin goes there too.

    Changing the number of queues while tasks wait can have a task delivered twice, never lost.
    """

    def __init__(self, queues: Sequence[TaskQueue]) -> None:
        """The queues, at least one; their order counts."""
        self._queues = tuple(queues)

    def enqueue(self, tasks: Sequence[Task]) -> int:
        """As `TaskQueue.enqueue`."""
        shares: list[list[Task]] = [[] for _ in self._queues]
        for task in tasks:
            shares[crc32(task.name.encode()) % len(shares)].append(task)
        return sum(queue.enqueue(share) for queue, share in zip(self._queues, shares, strict=True) if share)

    def close(self) -> None:
        """As `TaskQueue.close`."""
        for queue in self._queues:
            queue.close()
