"""A dead letter, and the place where they lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Letter:
    """Something that was given up.

    Attributes:
      id: its name where it lies.
      what: a message's attributes, or a task's `task` and `path`.
      n_bytes: size of its data.
      attempts: how often it was delivered, as text; empty if nobody counted.
      reason: why the last delivery failed; empty if nobody said.
    """

    id: str
    what: Mapping[str, str]
    n_bytes: int
    attempts: str
    reason: str


class LetterBoxError(Exception):
    """A box cannot be opened, with the reason."""


class LetterBox(Protocol):
    """Where dead letters lie. One that cannot be opened raises `LetterBoxError` or an error of its client's own."""

    def letters(self, limit: int) -> list[Letter]:
        """Dead letters, at most so many. They stay."""

    def replay(self, ids: Collection[str], limit: int) -> int:
        """Delivers dead letters again and takes them out of the box; returns how many.

        Args:
          ids: which; all if it is empty.
          limit: how many to look through at most.
        """
