"""Processes that die."""

from __future__ import annotations

import os
import random
import signal

from tests.soak.faults.base import Fault, RepeatedFault
from tests.soak.site import Site


class KilledProcess(RepeatedFault):
    """SIGKILL of any process of the stack but emulators, which keep everything in memory."""

    name = "kill"
    longest_s = 12.0
    explains = ("ended without an answer", "ConnectionError", "the process died")

    def __init__(self) -> None:
        super().__init__()
        self.kills = 0

    def strike(self, site: Site, chance: random.Random) -> str:
        victims = [process for process in site.stack.processes() if process.emulator is None]
        if not victims:
            return ""
        victim = chance.choice(victims)
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        self.kills += 1
        return f"{victim.role} ({victim.pid})"


class KilledStack(Fault):
    """SIGKILL of the stack as a whole, which is then started again on what it left."""

    name = "kill-stack"
    longest_s = 3.0
    explains = KilledProcess.explains

    def __init__(self) -> None:
        self._is_down = False

    def skip_reason(self, site: Site) -> str | None:
        return "the emulators keep everything in memory" if site.on == "emulators" else None

    def inject(self, site: Site, chance: random.Random) -> str:
        site.stack.kill()
        self._is_down = True
        return "all processes"

    def mend(self, site: Site) -> None:
        if self._is_down:
            site.stack.start()
            self._is_down = False
