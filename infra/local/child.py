"""Runs a module as a child of the local stack: `python -m infra.local.child MODULE ARGUMENTS...`.

The child's standard input is a pipe that the stack holds open. When it closes, the stack is gone, however it ended
(`kill -9` included), and the child ends itself and the processes it made: no port stays taken, no worker goes on alone.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def end_with_parent() -> None:
    """Kills this process's group as soon as standard input is closed by the other side."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def main() -> None:
    """Takes the module's name off the command line and runs it as `__main__`."""
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    end_with_parent()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
