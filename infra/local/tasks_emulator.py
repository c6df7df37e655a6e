"""Runs `gcloud-tasks-emulator` in its own virtual environment: `python tasks_emulator.py PORT`.

Imports nothing of this project. Two things are nearer to Cloud Tasks than in the published emulator: it listens on
loopback only, and a task's name is taken for good, so that creating it again is answered with ALREADY_EXISTS.
"""

from __future__ import annotations

import importlib
import sys
from concurrent import futures
from typing import Any

API_THREADS = 8


def loopback_api(emulator: Any, grpc: Any) -> type:
    """The emulator's API thread, bound to 127.0.0.1."""

    class LoopbackApi(emulator.APIThread):  # type: ignore[misc]
        def run(self) -> None:
            self._httpd = grpc.server(futures.ThreadPoolExecutor(API_THREADS), options=[("grpc.so_reuseport", 0)])
            emulator.add_CloudTasksServicer_to_server(emulator.Greeter(self._state), self._httpd)
            self._httpd.add_insecure_port(f"127.0.0.1:{self._port}")
            self._httpd.start()

    return LoopbackApi


def naming_state(emulator: Any, exceptions: Any) -> type:
    """The emulator's queues, each with the names that were ever used in it."""

    class NamingState(emulator.QueueState):  # type: ignore[misc]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._names: set[str] = set()

        def create_task(self, queue: str, task: Any) -> Any:
            if task.name in self._names:
                raise exceptions.AlreadyExists(f"the task {task.name} exists already")
            created = super().create_task(queue, task)
            self._names.add(created.name)
            return created

    return NamingState


def main() -> None:
    """Serves until the process is ended."""
    emulator: Any = importlib.import_module("gcloud_tasks_emulator.server")
    emulator.APIThread = loopback_api(emulator, importlib.import_module("grpc"))
    emulator.QueueState = naming_state(emulator, importlib.import_module("google.api_core.exceptions"))
    emulator.create_server("127.0.0.1", int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
