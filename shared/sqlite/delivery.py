"""A delivery and its states, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MessageKind = Literal["edit", "message"]
Kind = MessageKind | Literal["compute", "ingest"]
"""What a delivery is: an urgent message of the bus (`shared.messages.messages.is_urgent`), any other one, or a task."""

MESSAGE_KINDS: tuple[MessageKind, ...] = ("edit", "message")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when a failed delivery is tried again.

    Attributes:
      attempts: deliveries before it becomes a dead letter.
      first_pause_s: pause after the first failure; each further one is twice as long.
      longest_pause_s: no pause is longer, but for one that the receiver asks for.
      longest_asked_pause_s: nor may the receiver ask for a longer one than this.
      jitter: share of the pause that is random, so that what failed together does not come back together.
    """

    attempts: int = 10
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    longest_asked_pause_s: float = 600.0
    jitter: float = 0.5

    def pause_s(self, attempt: int, random_share: float, asked_s: float | None = None) -> float:
        """The pause after that many attempts.

        Args:
          attempt: how many there were.
          random_share: a random number in [0, 1).
          asked_s: the least that the receiver asks for, if it does.
        """
        pause_s = min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(attempt - 1, 60))
        return max(pause_s * (1 - self.jitter * random_share), min(asked_s or 0.0, self.longest_asked_pause_s))


@dataclass(frozen=True)
class Delivery:
    """Something to deliver: a message (attributes and body) or a task (name, path and body).

    A message has a name only as a dead letter: the id that it had where it was given up.
    """

    kind: Kind
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    path: str = ""


@dataclass(frozen=True)
class Lease:
    """A delivery that the leaseholder is to make now; `attempt` counts from 1."""

    id: int
    kind: Kind
    name: str
    path: str
    attributes: Mapping[str, str]
    body: bytes
    attempt: int


@dataclass(frozen=True)
class Failure:
    """A delivery that failed: why, and after how many seconds the receiver wants it again if it said so."""

    id: int
    reason: str
    pause_s: float | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that was given up, with the reason of its last failure."""

    lease: Lease
    reason: str


@dataclass(frozen=True)
class Counts:
    """How many deliveries of a kind wait, are being made, were made, and were given up."""

    waiting: int = 0
    leased: int = 0
    done: int = 0
    dead: int = 0
