"""What every task queue promises."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest

from shared.tasks.protocol import Task, TaskQueue

Posted = Callable[[int], list[tuple[str, str, bytes]]]
"""Waits for that many tasks and returns (target, path, body) of all that were posted, each task once per test."""


def task(name: str | None = None, body: bytes = b"{}", path: str = "/chunks", target: str = "compute") -> Task:
    """A task with a name of its own, if none is given."""
    return Task(name or f"run-{uuid.uuid4().hex}", target, path, body)  # type: ignore[arg-type]


class TaskQueueContract:
    """Subclasses provide the fixtures `queue` and `posted`."""

    def test_a_task_is_posted_to_its_target(self, queue: TaskQueue, posted: Posted) -> None:
        assert queue.enqueue([task(body=b'{"chunk": [1, 2, 3]}', path="/a/b")]) == 1
        assert queue.enqueue([task(body=b'{"block": 7}', path="/expand", target="ingest")]) == 1
        assert sorted(posted(2)) == [
            ("compute", "/a/b", b'{"chunk": [1, 2, 3]}'),
            ("ingest", "/expand", b'{"block": 7}'),
        ]

    def test_many_tasks_are_taken_at_once(self, queue: TaskQueue, posted: Posted) -> None:
        tasks = [task(body=b'{"number": %d}' % number) for number in range(100)]
        assert queue.enqueue(tasks) == 100
        assert sorted(body for _, _, body in posted(100)) == sorted(item.body for item in tasks)

    def test_a_name_is_taken_once(self, queue: TaskQueue, posted: Posted) -> None:
        first, second = task(body=b"1"), task(body=b"2")
        assert queue.enqueue([first]) == 1
        assert queue.enqueue([first, second]) == 1
        assert queue.enqueue([second, first]) == 0
        assert sorted(body for _, _, body in posted(2)) == [b"1", b"2"]

    def test_a_name_stays_taken_after_its_task_is_done(self, queue: TaskQueue, posted: Posted) -> None:
        first, second = task(body=b"1"), task(body=b"2")
        queue.enqueue([first])
        assert posted(1) == [("compute", "/chunks", b"1")]
        assert queue.enqueue([first, second]) == 1
        assert posted(1) == [("compute", "/chunks", b"2")]

    def test_a_name_twice_in_one_call_is_one_task(self, queue: TaskQueue, posted: Posted) -> None:
        twin = task(body=b"1")
        assert queue.enqueue([twin, twin]) == 1
        assert posted(1) == [("compute", "/chunks", b"1")]

    def test_no_task_is_no_work(self, queue: TaskQueue) -> None:
        assert queue.enqueue([]) == 0

    def test_the_largest_body_is_posted(self, queue: TaskQueue, posted: Posted) -> None:
        queue.enqueue([task(body=b'"' + b"a" * 99_998 + b'"')])
        assert len(posted(1)[0][2]) == 100_000

    def test_threads_share_a_queue(self, queue: TaskQueue, posted: Posted) -> None:
        shared, own = task(body=b"shared"), [task(body=b"%d" % number) for number in range(10)]
        counts: list[int] = []
        threads = [threading.Thread(target=lambda i=item: counts.append(queue.enqueue([shared, i]))) for item in own]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(counts) == 11
        assert len(posted(11)) == 11

    @pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a" * 501])
    def test_a_name_that_no_queue_takes_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="named"):
            Task(name, "compute", "/", b"")

    def test_a_path_or_body_that_no_queue_takes_is_refused(self) -> None:
        with pytest.raises(ValueError, match="path"):
            task(path="chunks")
        with pytest.raises(ValueError, match="100001 bytes"):
            task(body=bytes(100_001))
