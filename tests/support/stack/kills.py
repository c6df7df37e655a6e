"""Killing function processes of a running stack at random."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path


def function_processes(pid: int, *targets: str) -> dict[int, bool]:
    """The processes of functions below a process, and of each whether it serves requests (or has others do so)."""
    found: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # processes end while they are listed
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_text().replace("\0", " ")
    functions = {child for child, (_, command) in found.items() if any(f"--target {t}" in command for t in targets)}
    masters = {child for child in functions if found[child][0] == pid}
    return {child: child not in masters for child in sorted(functions) if {child, found[child][0]} & masters}


def serving_processes(pid: int) -> list[int]:
    """The processes below a process that serve requests of the compute and ingest functions."""
    return [child for child, serves in function_processes(pid, "compute", "ingest").items() if serves]


@contextlib.contextmanager
def random_kills(pid: int, every_s: float, most: int, seed: int = 1) -> Iterator[list[int]]:
    """Kills (SIGKILL) a random serving process of a stack again and again.

    Args:
      pid: the stack's process.
      every_s: mean time between kills.
      most: how many are killed.
      seed: of all chance.

    Yields:
      The killed processes so far.
    """
    stopping, chance = threading.Event(), random.Random(seed)
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < most and not stopping.wait(every_s * chance.uniform(0.5, 1.5)):
            victims = serving_processes(pid)
            if victims:
                victim = chance.choice(victims)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stopping.set()
        thread.join()
