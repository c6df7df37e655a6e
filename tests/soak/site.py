"""What a soak run goes on at: the stack, the world, the proxies, and what was found to be wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.stack.graph_proxy import GraphProxy
from tests.soak.stack.process import StackProcess
from tests.soak.stack.storage import Storage
from tests.soak.stack.tunnel import Tunnel
from tests.soak.world import SoakWorld

if TYPE_CHECKING:
    from tests.soak.faults.clock import Clock


FIRST_MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
"""Before all edits of the run, so that each ingest has the rows of the world as it was made."""


@dataclass
class Site:
    """Everything that load, faults and checks have to do with.

    Attributes:
      on: `embedded` or `emulators`.
      state: the stack's folder.
      has_own_disk: whether the state folder is a small file system of its own.
      world: volume and graph.
      stack: the stack's process.
      graph: the proxy in front of the graph server.
      tunnels: the proxies in front of the emulators, by emulator.
      storage: what the stack keeps.
      clock: that the functions go by.
      edits: what the graph server told of each edit, as its messages do.
      lasting_damage: files of the volume that are mended only when an ingest has ended.
      complaints: what is wrong.
      counts: how often what was done.
      moments: of ingests, each of another: one that was finished in an earlier round would not begin again.
    """

    on: str
    state: Path
    has_own_disk: bool
    world: SoakWorld
    stack: StackProcess
    graph: GraphProxy
    tunnels: Mapping[str, Tunnel]
    storage: Storage
    clock: Clock
    edits: list[Mapping[str, object]] = field(default_factory=list)
    lasting_damage: set[Path] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    moments: Iterator[datetime] = field(
        default_factory=lambda: (FIRST_MOMENT + timedelta(seconds=number) for number in count())
    )

    def __post_init__(self) -> None:
        self._start_s = time.monotonic()
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._start_s

    def say(self, text: str) -> None:
        """Prints what was done."""
        line = f"{self.elapsed_s:7.1f} s  {text}"
        with self._lock:
            print(line, flush=True)

    def count(self, what: str, times: int = 1) -> None:
        """Counts what was done, for the end."""
        with self._lock:
            self.counts[what] += times

    def complain(self, text: str) -> None:
        """Writes down what is wrong: the run has failed."""
        with self._lock:
            known = text in self.complaints
            self.complaints.append(text)
        if not known:
            self.say(f"WRONG: {text}")

    def mend_lasting_damage(self) -> None:
        """Mends the files that were left damaged."""
        damaged, self.lasting_damage = self.lasting_damage, set()
        for file in damaged:
            self.world.mend(file)
        if damaged:
            self.say(f"{len(damaged)} files are mended at last")
