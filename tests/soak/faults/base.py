"""What a fault is."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.soak.site import Site


class Fault(ABC):
    """Something that goes wrong around the stack for a while.

    A new one is a subclass with a `name`, and a place in `tests.soak.faults.FAULTS`.

    Attributes:
      name: on the command line and in the report.
      longest_s: how long it may last.
      explains: patterns of the reasons of dead letters that it explains.
    """

    name: ClassVar[str]
    longest_s: ClassVar[float] = 10.0
    explains: ClassVar[tuple[str, ...]] = ()

    def skip_reason(self, site: Site) -> str | None:
        """Why it cannot be had here; None if it can."""
        return None

    @abstractmethod
    def inject(self, site: Site, chance: random.Random) -> str:
        """Begins; what was done, for people.

        Args:
          site: where.
          chance: of this one time, so that a seed gives the same again.
        """

    def mend(self, site: Site) -> None:  # noqa: B027  # most faults that last a moment have nothing to end
        """Ends it; does nothing where there is nothing to be ended."""


class RepeatedFault(Fault):
    """A fault that strikes again and again while it lasts."""

    every_s: ClassVar[tuple[float, float]] = (0.3, 1.5)

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def strike(self, site: Site, chance: random.Random) -> str:
        """Once; what was done, empty if nothing."""

    def inject(self, site: Site, chance: random.Random) -> str:
        """Strikes until `mend`."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._go_on, args=(site, chance), daemon=True)
        self._thread.start()
        return "from now on, again and again"

    def mend(self, site: Site) -> None:
        """Ends striking."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _go_on(self, site: Site, chance: random.Random) -> None:
        while not self._stopping.wait(chance.uniform(*self.every_s)):
            done = self.strike(site, chance)
            if done:
                site.say(f"  {self.name}: {done}")
