"""Google's emulators behind the functions of the local stack: the cloud's own interfaces, on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from infra.local.backing import Places, Services
from infra.local.emulator_admin import ATTEMPTS_BEFORE_DEAD, TaskQueueName, Topic, create_queue, create_topic
from infra.local.emulators import Emulator, bigtable_emulator, pubsub_emulator, tasks_emulator

PROJECT, INSTANCE, LOCATION = "local", "local", "local"
TOPIC, QUEUE = "pychunkedgraph", "l2cache-chunks"


@dataclass(frozen=True)
class EmulatorBacking:
    """A `Backing`: the Bigtable, Pub/Sub and Cloud Tasks emulators, with a topic, a push subscription and a queue.

    All of it is kept in memory, and gone when the stack ends.

    Attributes:
      graph_table: name of a table in the Bigtable emulator that the dataset of a stand-in graph server names as its
        graph table. Somebody else has to fill it; nothing reads it before the first chunk.
    """

    graph_table: str | None = None

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
            create_topic(pubsub.endpoint, Topic(PROJECT, TOPIC), places.compute_url)
            create_queue(tasks.endpoint, TaskQueueName(PROJECT, LOCATION, QUEUE), places.workers)
            yield self._services(places, bigtable, pubsub, tasks)

    def _services(self, places: Places, *emulators: Emulator) -> Services:
        urls = urlencode({"compute": places.compute_url, "ingest": places.ingest_url})
        return Services(
            store=f"bigtable://{PROJECT}/{INSTANCE}",
            bus=f"pubsub://{PROJECT}/{TOPIC}",
            queue=f"cloudtasks://{PROJECT}/{LOCATION}/{QUEUE}?{urls}",
            graph_table=self.graph_table and f"bigtable://{PROJECT}/{INSTANCE}/{self.graph_table}",
            environment={
                "L2CACHE_DEAD_LETTERS": f"pubsub://{PROJECT}/{Topic(PROJECT, TOPIC).dead_letters.name}",
                "L2CACHE_DELIVERY_ATTEMPTS": str(ATTEMPTS_BEFORE_DEAD),
                **{name: value for emulator in emulators for name, value in emulator.environment.items()},
            },
        )
