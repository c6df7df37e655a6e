"""What the stack keeps: rows, and what waits to be delivered, read beside it."""

from __future__ import annotations

import sqlite3
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from infra.local.emulator_admin import ATTEMPTS_BEFORE_DEAD, TaskQueueName, Topic
from infra.local.emulator_backing import DEAD_LETTERS, INSTANCE, LOCATION, PROJECT, QUEUE, REPLAY
from l2cache.deadletters.embedded import EmbeddedLetterBox
from l2cache.deadletters.letter import Letter, LetterBox
from l2cache.deadletters.pubsub import PubSubLetterBox
from shared.geometry.ids import node_key
from shared.sqlite.deliveries import Deliveries
from shared.store.sqlite import SQLiteStore
from tests.soak.stack.published import Published
from tests.soak.stack.relay import Relay
from tests.soak.world import L2CACHE_ID, Row

_MOST_LETTERS = 10_000
_ROWS_PER_REQUEST = 5_000


class Storage(ABC):
    """Tables, bus and queue of a running stack. Every method may raise OSError or an error of a client's own."""

    @abstractmethod
    def rows(self) -> dict[int, Row]:
        """All rows of nodes, without empty cells."""

    @abstractmethod
    def forget(self, l2_ids: Collection[int]) -> None:
        """Takes rows out of the table."""

    @abstractmethod
    def undelivered(self) -> str:
        """What waits or is under way, for people; empty if there is nothing."""

    @abstractmethod
    def tasks(self) -> list[tuple[str, bytes]]:
        """Function and body of some tasks that wait or are under way."""

    @property
    @abstractmethod
    def _letter_box(self) -> LetterBox: ...

    def dead_letters(self) -> list[Letter]:
        """What was given up."""
        return self._letter_box.letters(_MOST_LETTERS)

    def replay(self, letters: Collection[Letter]) -> None:
        """Delivers again what was given up."""
        self._letter_box.replay([letter.id for letter in letters], _MOST_LETTERS)

    def close(self) -> None:  # noqa: B027  # SQLite files are opened for each look
        """Closes the connections."""


class EmbeddedStorage(Storage):
    """SQLite files in the state folder."""

    def __init__(self, state: Path) -> None:
        self.cache, self.deliveries = state / "cache.db", state / "deliveries.db"

    def rows(self) -> dict[int, Row]:
        if not self.cache.exists():
            return {}
        store = SQLiteStore(self.cache)
        try:
            return _rows((cell.row_key, cell.qualifier, cell.value) for cell in store.cells(L2CACHE_ID))
        finally:
            store.close()

    def forget(self, l2_ids: Collection[int]) -> None:
        with closing(sqlite3.connect(self.cache, timeout=60, isolation_level=None)) as connection:
            query = "SELECT number FROM tables WHERE table_id = ?"
            (number,) = connection.execute(query, (L2CACHE_ID,)).fetchone()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"DELETE FROM rows_{number} WHERE l2_id = ?", ((i,) for i in l2_ids))  # noqa: S608
            connection.execute("COMMIT")

    def undelivered(self) -> str:
        deliveries = Deliveries(self.deliveries)
        try:
            counts = deliveries.counts()
        finally:
            deliveries.close()
        parts = [f"{n.waiting} {kind}s wait, {n.leased} leased" for kind, n in counts.items() if n.waiting or n.leased]
        return "; ".join(parts)

    def tasks(self) -> list[tuple[str, bytes]]:
        with closing(sqlite3.connect(f"file:{self.deliveries}?mode=ro", uri=True, timeout=10)) as connection:
            query = "SELECT kind, body FROM deliveries WHERE kind IN ('compute', 'ingest') LIMIT 200"
            return list(connection.execute(query))

    @property
    def _letter_box(self) -> LetterBox:
        return EmbeddedLetterBox(self.deliveries)


class EmulatorStorage(Storage):
    """Google's emulators. The variables that send clients to them must be set in this process.

    Args:
      relays: what the messages of each topic are pushed through.
      task_relays: what tasks are sent through.
      pubsub: address of the Pub/Sub emulator.
      tasks: address of the Cloud Tasks emulator.
    """

    def __init__(self, relays: Mapping[Topic, Relay], task_relays: Collection[Relay], pubsub: str, tasks: str) -> None:
        import grpc
        from google.cloud.bigtable.data import BigtableDataClient

        self._relays, self._task_relays = relays, task_relays
        self._pubsub, self._tasks = grpc.insecure_channel(pubsub), grpc.insecure_channel(tasks)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Connecting to Bigtable emulator", RuntimeWarning)
            self._bigtable = BigtableDataClient(project=PROJECT)
        self._table = self._bigtable.get_table(INSTANCE, L2CACHE_ID)
        self._published = {topic: Published(self._pubsub, topic) for topic in relays}

    def rows(self) -> dict[int, Row]:
        from google.cloud.bigtable.data import ReadRowsQuery

        cells: list[tuple[bytes, str, bytes]] = []
        for row in self._table.read_rows_stream(ReadRowsQuery(), operation_timeout=60):
            newest: dict[str, bytes] = {}
            for cell in row:  # newest first within a column
                newest.setdefault(cell.qualifier.decode(), cell.value)
            cells += [(row.row_key, name, value) for name, value in newest.items()]
        return _rows(cells)

    def forget(self, l2_ids: Collection[int]) -> None:
        from google.cloud.bigtable.data import DeleteAllFromRow, RowMutationEntry

        for part in _parts(sorted(l2_ids)):
            self._table.bulk_mutate_rows([RowMutationEntry(node_key(l2_id), [DeleteAllFromRow()]) for l2_id in part])

    def undelivered(self) -> str:
        tasks = len(self._waiting_tasks()) + sum(relay.under_way for relay in self._task_relays)
        messages = {topic: self._waiting_messages(topic) for topic in self._relays}
        parts = [f"{tasks} tasks"] if tasks else []
        parts += [f"{count} messages of {topic.name}" for topic, count in messages.items() if count]
        return "; ".join(f"{part} wait or are under way" for part in parts)

    def tasks(self) -> list[tuple[str, bytes]]:
        return [("ingest" if "/expand" in url else "compute", body) for url, body in self._waiting_tasks()]

    def _waiting_tasks(self) -> list[tuple[str, bytes]]:
        from google.cloud.tasks_v2 import CloudTasksClient, ListTasksRequest, Task
        from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=self._tasks))
        queue = TaskQueueName(PROJECT, LOCATION, QUEUE).path
        found = client.list_tasks(ListTasksRequest(parent=queue, response_view=Task.View.FULL), timeout=20)
        return [(task.http_request.url, bytes(task.http_request.body)) for task in found]

    def _waiting_messages(self, topic: Topic) -> int:
        """Messages that were published, and neither acknowledged nor given up by the emulator."""
        relay, name = self._relays[topic], topic.subscription
        settled = relay.accepted(name) | relay.sent(name, ATTEMPTS_BEFORE_DEAD)
        return len(self._published[topic].ids() - settled)

    @property
    def _letter_box(self) -> LetterBox:
        return PubSubLetterBox(DEAD_LETTERS.subscription, REPLAY.path, wait_s=1.0)

    def close(self) -> None:
        self._bigtable.close()
        self._pubsub.close()
        self._tasks.close()


def _rows(cells: Iterable[tuple[bytes, str, bytes]]) -> dict[int, Row]:
    rows: dict[int, dict[str, bytes]] = {}
    for key, name, value in cells:
        if key.isdigit() and value:
            rows.setdefault(int(key), {})[name] = value
    return dict(rows)


def _parts(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _ROWS_PER_REQUEST] for start in range(0, len(ids), _ROWS_PER_REQUEST)]
