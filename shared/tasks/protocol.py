"""The protocol of a task queue and the task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Target = Literal["compute", "ingest"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")
_MAX_BODY_BYTES = 100_000


@dataclass(frozen=True)
class Task:
    """One task: the queue posts `body` to the target function at least once, until it answers with a 2xx.

    Attributes:
      name: letters, digits, `-` and `_`, at most 500; a name is accepted once.
      target: the function that does it.
      path: path of the request, starting with `/`.
      body: JSON, at most 100 kB.
    """

    name: str
    target: Target
    path: str
    body: bytes

    def __post_init__(self) -> None:
        """Holds the task to what every queue takes.

        Raises:
          ValueError: naming the part that no queue would take.
        """
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a task cannot be named {self.name[:80]!r}")
        if not self.path.startswith("/"):
            raise ValueError(f"the path of task {self.name} must start with /, not {self.path[:80]!r}")
        if len(self.body) > _MAX_BODY_BYTES:
            raise ValueError(f"the body of task {self.name} has {len(self.body)} bytes, {_MAX_BODY_BYTES} are allowed")


class TaskQueue(Protocol):
    """Takes tasks durably and delivers them with retries and back-off. May be used by many threads."""

    def enqueue(self, tasks: Sequence[Task]) -> int:
        """Takes tasks; one whose name is taken already counts as done, since its twin is on its way or was delivered.

        Returns:
          How many were new.

        Raises:
          StorageUnavailableError: if the queue does not take them; some may have been taken: doing it again is safe.
        """

    def close(self) -> None:
        """Closes the connections."""
