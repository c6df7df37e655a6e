"""A clock that goes back.

Debian's libfaketime (0.9.10) cannot be used: with it Python 3.11 either waits for ever, or cannot sleep at all if only
the wall clock is moved. So a library of a few lines is compiled, if there is a compiler.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

from tests.soak.faults.base import Fault
from tests.soak.site import Site

SOURCE = Path(__file__).with_name("clock.c")
_NANOSECONDS = 10**9


class Clock:
    """A wall clock for other processes.

    Args:
      folder: gets the library and the file that moves the clock.

    Attributes:
      environment: variables under which a program goes by this clock; none if there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._file.write_bytes(bytes(8))
        compiler, library = shutil.which("cc"), folder / "clock.so"
        self.environment: dict[str, str] = {}
        if compiler is not None:
            command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
            subprocess.run(command, check=True, capture_output=True)
            self.environment = {"LD_PRELOAD": str(library), "SOAK_CLOCK_FILE": str(self._file)}

    def move(self, seconds: int) -> None:
        """Has the clock show the true time and so many seconds more, in all programs at once."""
        with self._file.open("r+b", buffering=0) as file:
            file.write((seconds * _NANOSECONDS).to_bytes(8, "little", signed=True))


class ClockBack(Fault):
    """The clock of the functions, the dispatcher and the graph server goes back, and later jumps forward again."""

    name = "clock-back"

    def skip_reason(self, site: Site) -> str | None:
        return None if site.clock.environment else "there is no C compiler"

    def inject(self, site: Site, chance: random.Random) -> str:
        back_s = chance.choice([5, 60, 3600])
        site.clock.move(-back_s)
        return f"{back_s} s"

    def mend(self, site: Site) -> None:
        site.clock.move(0)
