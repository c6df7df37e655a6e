"""A small disk of its own for a test, and times in which it is full."""

from __future__ import annotations

import errno
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.skips import NotPermitted

_REFILL_S = 0.005
_BLOCKS = (1 << 20, 1 << 16, 1 << 12, 1)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A disk in memory of that size, mounted on a folder that is made for it. Skips the test where nobody may mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a small disk needs the command mount")
    if mounted.returncode:
        raise NotPermitted(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Has no byte free on a disk while the block lasts, whatever others delete meanwhile."""
    stopping, filler = threading.Event(), disk / "filler"

    def fill() -> None:
        for block in _BLOCKS:
            with filler.open("ab", buffering=0) as file:
                try:
                    while not stopping.is_set():
                        file.write(bytes(block))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def keep_full() -> None:
        while not stopping.wait(_REFILL_S):
            fill()

    fill()
    thread = threading.Thread(target=keep_full)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        filler.unlink()
