"""Emulators that do not answer for a while."""

from __future__ import annotations

import contextlib
import os
import random
import signal

from tests.soak.faults.base import Fault
from tests.soak.site import Site

_EXPLAINS = ("cannot be reached", "not available", "ended without an answer", "was not published", "50[03]")


class StoppedEmulator(Fault):
    """SIGSTOP of an emulator: connections stay, nothing is answered."""

    name = "stopped-emulator"
    longest_s = 8.0
    explains = _EXPLAINS

    def __init__(self) -> None:
        self._stopped: list[int] = []

    def skip_reason(self, site: Site) -> str | None:
        return None if site.on == "emulators" else "there are no emulators"

    def inject(self, site: Site, chance: random.Random) -> str:
        which = chance.choice(["bigtable", "pubsub", "tasks"])
        for process in site.stack.processes():
            # The program itself; what started it only waits for it.
            if process.emulator == which and "infra.local.program" not in process.command:
                os.kill(process.pid, signal.SIGSTOP)
                self._stopped.append(process.pid)
        return which

    def mend(self, site: Site) -> None:
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()


class CutConnections(Fault):
    """All connections to an emulator break, and no new one comes about."""

    name = "cut-connections"
    longest_s = 8.0
    explains = _EXPLAINS

    def skip_reason(self, site: Site) -> str | None:
        return None if site.tunnels else "there are no emulators"

    def inject(self, site: Site, chance: random.Random) -> str:
        which = chance.choice(sorted(site.tunnels))
        return f"{which}, {site.tunnels[which].cut()} connections"

    def mend(self, site: Site) -> None:
        for tunnel in site.tunnels.values():
            tunnel.mend()
