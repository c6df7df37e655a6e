"""Runs `gcloud-tasks-emulator` in its own virtual environment: `python tasks_emulator.py PORT`.

Imports nothing of this project. Four things are nearer to Cloud Tasks than in the published emulator: it listens on
loopback only; a task's name is taken for good, so that creating it again is answered with ALREADY_EXISTS; as many tasks
of a queue are under way at a time as its `max_concurrent_dispatches` says (one if it says nothing); and a failed task
waits for the queue's `min_backoff`, twice as long after each further failure, up to its `max_backoff`.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
import urllib.error
from concurrent import futures
from typing import Any

API_THREADS = 8
POLL_S = 0.02
FAILED = 400


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


def dispatcher(emulator: Any) -> type:
    """The emulator's processor, several tasks of a queue at a time and with a pause before the next try."""

    class Dispatcher(emulator.Processor):  # type: ignore[misc]
        def _process_queue(self, queue: str) -> None:
            slots = self._state.queue(queue).rate_limits.max_concurrent_dispatches or 1
            free = threading.Semaphore(slots)
            due_s: dict[str, float] = {}
            with futures.ThreadPoolExecutor(slots) as pool:
                while self._is_running.is_set() and queue in self._state.queue_names():
                    task = self._next(queue, due_s)
                    if task is None or not free.acquire(timeout=1):
                        time.sleep(POLL_S)
                        continue
                    # Only this thread takes tasks out of the list, so that no two can take the same.
                    self._state.list_tasks(queue).remove(task)
                    done = pool.submit(self._dispatch, queue, task, due_s)
                    done.add_done_callback(lambda _done: free.release())

        def _next(self, queue: str, due_s: dict[str, float]) -> Any:
            if self._state.queue(queue).state != emulator.Queue.State.RUNNING:
                return None
            now_s = time.monotonic()
            return next((task for task in self._state.list_tasks(queue)[:] if due_s.get(task.name, 0.0) <= now_s), None)

        def _dispatch(self, queue: str, task: Any, due_s: dict[str, float]) -> None:
            task.dispatch_count += 1
            try:
                with emulator._make_task_request(queue, task, "", 0) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
                error.close()
            except OSError:
                status = FAILED
            if status >= FAILED:
                emulator.logger.error("task %s failed: %s", task.name, status)
                retry = self._state.queue(queue).retry_config
                pause_s = retry.min_backoff.total_seconds() * 2.0 ** (task.dispatch_count - 1)
                due_s[task.name] = time.monotonic() + min(pause_s, retry.max_backoff.total_seconds())
                self._state.list_tasks(queue).append(task)

    return Dispatcher


def main() -> None:
    """Serves until the process is ended."""
    emulator: Any = importlib.import_module("gcloud_tasks_emulator.server")
    emulator.APIThread = loopback_api(emulator, importlib.import_module("grpc"))
    emulator.QueueState = naming_state(emulator, importlib.import_module("google.api_core.exceptions"))
    emulator.Processor = dispatcher(emulator)
    emulator.create_server("127.0.0.1", int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
