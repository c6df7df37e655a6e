"""What the simulation puts in the place of the cloud: time, marks in memory, a queue that notes what it is given."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from shared.errors import TableNotFoundError
from shared.store.protocol import TableMeta
from shared.tasks.protocol import Task
from shared.types import UInt64Array


@dataclass(frozen=True)
class Cloud:
    """Limits and latencies. Limits are those that Google documents, latencies what is usual within a region.

    Attributes:
      workers: leaf tasks at a time.
      expanders: expand tasks at a time.
      queues: over which tasks are spread.
      dispatches_per_s: tasks that one queue hands out a second.
      concurrent: tasks of one queue under way at a time.
      create_s: one call that creates a task.
      creates_at_once: such calls of one expand task at a time.
      deliver_s: from a free slot to the request.
      back_off_s: the first pause after a failed delivery; each further one is twice as long.
      longest_back_off_s: no pause is longer.
      chunk_s: mean time of a chunk.
      failures: share of chunk tries, and of deliveries, that fail and work the next time.
      deaths: share of leaf deliveries whose worker dies at some moment of its work.
      budget_s: as `LeafService.budget_s`.
    """

    workers: int = 1000
    expanders: int = 20
    queues: int = 1
    dispatches_per_s: float = 500.0
    concurrent: int = 5000
    create_s: float = 0.03
    creates_at_once: int = 16
    deliver_s: float = 0.05
    back_off_s: float = 5.0
    longest_back_off_s: float = 300.0
    chunk_s: float = 0.8
    failures: float = 0.0
    deaths: float = 0.0
    budget_s: float = 480.0

    def pause_s(self, attempt: int) -> float:
        """The pause after that many deliveries."""
        return min(self.longest_back_off_s, self.back_off_s * 2.0 ** min(attempt - 1, 60))


class Timeline:
    """Simulated time: calls things when their moment has come."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def __call__(self) -> float:
        """The present moment."""
        return self.now_s

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Has something called later."""
        heapq.heappush(self._waiting, (self.now_s + seconds, next(self._number), call))

    def run(self) -> None:
        """Calls everything that waits, in order of time, until nothing is left."""
        while self._waiting:
            self.now_s, _, call = heapq.heappop(self._waiting)
            call()


class RecordedQueue:
    """A `TaskQueue` that keeps what it is given, each name once, until it is taken over by the simulation."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.new: list[Task] = []

    def enqueue(self, tasks: Sequence[Task]) -> int:
        """As `TaskQueue.enqueue`."""
        fresh = [task for task in tasks if task.name not in self.names]
        self.names.update(task.name for task in fresh)
        self.new.extend(fresh)
        return len(fresh)

    def take(self) -> list[Task]:
        """What was enqueued since the last time."""
        taken, self.new = self.new, []
        return taken

    def close(self) -> None:
        """As `TaskQueue.close`."""


class Marks:
    """The part of a `CacheStore` that holds marks; there are no rows here."""

    def __init__(self) -> None:
        self._meta: TableMeta | None = None
        self._keys: list[str] = []
        self._values: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def create_table(self, table_id: str, meta: TableMeta) -> bool:
        """As `CacheStore.create_table`."""
        self._meta, is_new = self._meta or meta, self._meta is None
        return is_new

    def read_meta(self, table_id: str) -> TableMeta:
        """As `CacheStore.read_meta`."""
        if self._meta is None:
            raise TableNotFoundError(f"there is no cache table {table_id}")
        return self._meta

    def read_cells(self, table_id: str, l2_ids: UInt64Array, attributes: Sequence[str]) -> object:
        """There are none."""
        raise NotImplementedError

    def write_marks(self, table_id: str, marks: Mapping[str, bytes | None]) -> None:
        """As `CacheStore.write_marks`."""
        for key, value in marks.items():
            if value is not None:
                if key not in self._values:
                    insort(self._keys, key)
                self._values[key] = value
            elif self._values.pop(key, None) is not None:
                self._keys.remove(key)

    def replace_mark(self, table_id: str, key: str, expected: bytes | None, value: bytes) -> bool:
        """As `CacheStore.replace_mark`."""
        if self._values.get(key) != expected:
            return False
        self.write_marks(table_id, {key: value})
        return True

    def read_marks(self, table_id: str, prefix: str) -> dict[str, bytes]:
        """As `CacheStore.read_marks`."""
        start = bisect_left(self._keys, prefix)
        stop = bisect_left(self._keys, prefix + "\uffff")
        return {key: self._values[key] for key in self._keys[start:stop]}
