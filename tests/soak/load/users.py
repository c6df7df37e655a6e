"""All users of the system at once, a thread each."""

from __future__ import annotations

import threading

from tests.soak.load.editor import Editor
from tests.soak.load.keeper import Keeper
from tests.soak.load.looker import Looker
from tests.soak.load.operator import Operator
from tests.soak.site import Site


class Load:
    """All users of the system at once."""

    def __init__(self, site: Site, seed: str) -> None:
        self._stopping = threading.Event()
        self.operator = Operator(site, f"{seed}/operator", self._stopping)
        self.editor = Editor(site, f"{seed}/editor", self._stopping)
        self.looker = Looker(site, f"{seed}/looker", self._stopping)
        self.keeper = Keeper(site, f"{seed}/keeper", self._stopping)
        self._threads = [self.operator, self.editor, self.looker, self.keeper]

    def start(self) -> None:
        """Begins, with an ingest: without a table, messages can never succeed."""
        self.operator.begin()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends; what is under way is finished."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
