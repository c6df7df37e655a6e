"""Google's emulators behind the functions of the local stack: the cloud's own interfaces, on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from infra.local.backing import Places, Services
from infra.local.emulator_admin import (
    ATTEMPTS_BEFORE_DEAD,
    LONGEST_PAUSE,
    TaskQueueName,
    Topic,
    create_queue,
    create_topics,
)
from infra.local.emulators import Emulator, bigtable_emulator, pubsub_emulator, tasks_emulator

PROJECT, INSTANCE, LOCATION = "local", "local", "local"
QUEUE = "l2cache-chunks"
EDITS, MISSES = Topic(PROJECT, "pychunkedgraph"), Topic(PROJECT, "l2cache-misses")
WAITED = Topic(PROJECT, "l2cache-waited")
REPLAY, DEAD_LETTERS = Topic(PROJECT, "l2cache-replay"), Topic(PROJECT, "l2cache-dead-letters")


@dataclass(frozen=True)
class EmulatorBacking:
    """A `Backing`: the Bigtable, Pub/Sub and Cloud Tasks emulators, with topics, push subscriptions and a queue.

    Edits have a topic of their own, since the emulator's subscriptions cannot tell them from misses; those that may
    wait are not told from the others here. All of it is kept in memory, and gone when the stack ends.

    Attributes:
      graph_table: name of a table in the Bigtable emulator that the dataset of a stand-in graph server names as its
        graph table. It has to be filled by other means; nothing reads it before the first chunk.
      longest_pause: no task that failed waits longer for its next try.
    """

    graph_table: str | None = None
    longest_pause: timedelta = LONGEST_PAUSE

    def __call__(self, places: Places) -> AbstractContextManager[Services]:
        """Starts the emulators; see `Backing`.

        Raises:
          EmulatorMissingError: if one is not installed.
          ChildFailedError: if one does not start.
        """
        return self._running(places)

    @contextmanager
    def _running(self, places: Places) -> Iterator[Services]:
        starts = (bigtable_emulator, pubsub_emulator, tasks_emulator)
        with ExitStack() as running:
            with ThreadPoolExecutor(len(starts)) as pool:
                begun = [pool.submit(running.enter_context, start(places.logs)) for start in starts]
            bigtable, pubsub, tasks = (one.result() for one in begun)
            push_urls = {
                EDITS: places.edits_url,
                WAITED: places.edits_url,
                MISSES: places.compute_url,
                REPLAY: places.compute_url,
            }
            create_topics(pubsub.endpoint, push_urls, DEAD_LETTERS)
            queue = TaskQueueName(PROJECT, LOCATION, QUEUE)
            create_queue(tasks.endpoint, queue, places.workers, self.longest_pause)
            yield self._services(places, bigtable, pubsub, tasks)

    def _services(self, places: Places, *emulators: Emulator) -> Services:
        urls = urlencode({"compute": places.compute_url, "ingest": places.ingest_url})
        return Services(
            store=f"bigtable://{PROJECT}/{INSTANCE}",
            bus=_address(MISSES),
            edits_bus=_address(EDITS),
            queue=f"cloudtasks://{PROJECT}/{LOCATION}/{QUEUE}?{urls}",
            graph_table=self.graph_table and f"bigtable://{PROJECT}/{INSTANCE}/{self.graph_table}",
            environment={
                "L2CACHE_WAITED_BUS": _address(WAITED),
                "L2CACHE_DEAD_LETTERS": _address(DEAD_LETTERS),
                "L2CACHE_DELIVERY_ATTEMPTS": str(ATTEMPTS_BEFORE_DEAD),
                **{name: value for emulator in emulators for name, value in emulator.environment.items()},
            },
        )


def _address(topic: Topic) -> str:
    return f"pubsub://{topic.project}/{topic.name}"
