"""The stand-in graph server over connections that stay open, as a real one's do: its own server closes each at once.

`python -m tests.bench.graph_server DUMP INFO` prints its address and serves until it is terminated.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from infra.standin.graph.app import create_app
from infra.standin.graph.server import GraphFiles, load

ROOT = Path(__file__).resolve().parents[2]
THREADS = 16


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """One process with threads at a free port."""

    def __init__(self, files: GraphFiles) -> None:
        self._files = files
        super().__init__()

    def load_config(self) -> None:
        """Says how to serve."""
        settings = {
            "bind": "127.0.0.1:0",
            "worker_class": "gthread",
            "threads": THREADS,
            "keepalive": 60,
            "graceful_timeout": 0,
            "loglevel": "critical",
            "when_ready": _announce,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, in the serving process."""
        return create_app(*load(self._files))


def _announce(arbiter: Any) -> None:
    host, port = arbiter.LISTENERS[0].sock.getsockname()
    print(f"http://{host}:{port}", flush=True)


def serving(dump: Path, info: Path) -> AbstractContextManager[str]:
    """Address of a graph server in a process of its own.

    Args:
      dump: the graph's table.
      info: its `info`.
    """
    return announced("tests.bench.graph_server", str(dump), str(info))


@contextmanager
def announced(*module: str) -> Iterator[str]:
    """The address that a module, given with its arguments, prints when it serves; it does for as long as this lasts."""
    with subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    _dump, _info = map(Path, sys.argv[1:])
    sys.argv[1:] = []
    _Server(GraphFiles(_dump, _info)).run()
