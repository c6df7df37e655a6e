"""Processes that die."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

from tests.soak.faults.base import Fault, RepeatedFault
from tests.soak.site import Site
from tests.soak.stack.process import StackDownError

KILLED = "processes killed"
STARTED_WITHIN_S = 60.0


class KilledProcess(RepeatedFault):
    """SIGKILL of any process of the stack but emulators, which keep everything in memory."""

    name = "kill"
    longest_s = 12.0
    explains = ("ended without an answer", "ConnectionError", "the process died")

    def strike(self, site: Site, chance: random.Random) -> str:
        victims = [process for process in site.stack.processes() if process.emulator is None]
        if not victims:
            return ""
        victim = chance.choice(victims)
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        site.count(KILLED)
        return f"{victim.role} ({victim.pid})"


class KilledStack(Fault):
    """SIGKILL of the stack as a whole, which is then started again on what it left."""

    name = "kill-stack"
    longest_s = 3.0
    explains = KilledProcess.explains

    def __init__(self) -> None:
        self._is_down = False
        self._lock = threading.Lock()  # it may be due again while the stack is still starting

    def skip_reason(self, site: Site) -> str | None:
        return "the emulators keep everything in memory" if site.on == "emulators" else None

    def inject(self, site: Site, chance: random.Random) -> str:
        if not self._lock.acquire(blocking=False):
            return "no process, the stack is still starting"
        try:
            self._is_down = True
            killed = site.stack.kill()
        finally:
            self._lock.release()
        site.count(KILLED, killed)
        return f"all {killed} processes"

    def mend(self, site: Site) -> None:
        with self._lock:
            if self._is_down:
                self._is_down = False
                self._start(site, time.monotonic() + STARTED_WITHIN_S)

    def _start(self, site: Site, end_s: float) -> None:
        """Starts the stack, as a service manager does, again and again: other faults may keep it from starting."""
        while True:
            try:
                site.stack.start()
                return
            except StackDownError:
                if time.monotonic() > end_s:
                    raise
            time.sleep(1.0)
