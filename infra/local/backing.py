"""What stands behind the functions of the local stack: tables, bus and queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from infra.local.processes import ChildSpec
from shared.sqlite.delivery import RetryPolicy


@dataclass(frozen=True)
class Places:
    """What a backing has to know of the stack.

    Attributes:
      state: folder for everything durable.
      logs: folder for logs.
      compute_url: base address of the compute function.
      edits_url: base address of its second service, which takes nothing but urgent messages.
      ingest_url: base address of the ingest function.
      workers: chunk tasks that the compute function takes at a time.
      edit_workers: messages that the second service takes at a time.
    """

    state: Path
    logs: Path
    compute_url: str
    edits_url: str
    ingest_url: str
    workers: int
    edit_workers: int


@dataclass(frozen=True)
class Services:
    """Where the functions find tables, bus and queue.

    Attributes:
      store: `L2CACHE_STORE`.
      bus: `L2CACHE_BUS`.
      edits_bus: address that a graph server is to announce edits at.
      queue: `L2CACHE_QUEUE`.
      graph_table: address of the graph's own table, if it is to be read.
      environment: further variables of all children.
      children: to be started after the functions.
    """

    store: str
    bus: str
    edits_bus: str
    queue: str
    graph_table: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    children: tuple[ChildSpec, ...] = ()


Backing: TypeAlias = Callable[[Places], AbstractContextManager[Services]]
"""Runs the services for as long as a `with` lasts."""


@contextmanager
def embedded(places: Places) -> Iterator[Services]:
    """SQLite files in the state folder, which keep everything, and a dispatcher that delivers."""
    deliveries = places.state / "deliveries.db"
    address = f"sqlite:///{deliveries}"
    urls = ("--compute", places.compute_url, "--edits", places.edits_url, "--ingest", places.ingest_url)
    workers = ("--workers", str(places.workers), "--edit-workers", str(places.edit_workers))
    yield Services(
        store=f"sqlite:///{places.state / 'cache.db'}",
        bus=address,
        edits_bus=address,
        queue=address,
        environment={"L2CACHE_DEAD_LETTERS": address, "L2CACHE_DELIVERY_ATTEMPTS": str(RetryPolicy().attempts)},
        children=(ChildSpec("dispatch", ("infra.local.dispatch", "--deliveries", str(deliveries), *urls, *workers)),),
    )
