"""Runs a program as a child of the local stack: `python -m infra.local.child infra.local.program PROGRAM ARGUMENTS...`.

For programs that are no Python module. They stay in the child's process group, so that they end with it.
"""

from __future__ import annotations

import signal
import subprocess
import sys


def main() -> None:
    """Runs the command line's program and ends as it ends."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    # The signal goes to the whole group; this process waits until the program has ended in its own way.
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
    sys.exit(process.wait())


if __name__ == "__main__":
    main()
