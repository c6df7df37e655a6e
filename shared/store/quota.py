"""The protocol of the counters from which all instances lease what a caller may have in a minute."""

from __future__ import annotations

from typing import Protocol


class QuotaCounters(Protocol):
    """Numbers that all instances of a deployment add to. An instance may be used by many threads.

    Nobody waits for them long: whoever adds to one does without it when it does not answer soon.
    """

    def add(self, counter: str, minute: int, amount: int) -> int:
        """Adds to a counter, which begins each minute with 0; all that is added counts, whoever adds at the same time.

        Args:
          counter: its name, any text.
          minute: whole minutes since 1970. A counter is forgotten some time after an hour.
          amount: what is added; may be negative.

        Returns:
          What it holds afterwards.

        Raises:
          StorageUnavailableError: if there is no answer soon. It may have been added all the same.
        """

    def close(self) -> None:
        """Closes the connections."""
