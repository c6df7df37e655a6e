"""The time that a message may take."""

from __future__ import annotations

from collections.abc import Callable

from shared.errors import DeadlineError

SHORTEST_REQUEST_TIMEOUT_S = 10.0


class Budget:
    """Time for the parts of some work; the first part is begun in any case, so that every try gets further.

    Args:
      budget_s: time after which no further part is begun.
      clock: seconds, ever growing.
    """

    def __init__(self, budget_s: float, clock: Callable[[], float]) -> None:
        self._budget_s, self._clock = budget_s, clock
        self._end_s = clock() + budget_s
        self._begun = False

    def begin_part(self, left: str) -> None:
        """To be called before each part.

        Args:
          left: what there is still to do, for the error's message.

        Raises:
          DeadlineError: if the time is over and this is not the first part.
        """
        if self._begun and self._clock() > self._end_s:
            raise DeadlineError(f"after {self._budget_s:g} s {left} are left for another try")
        self._begun = True

    def request_timeout_s(self) -> float:
        """Seconds that a request to another service may take, all tries together: those left, or a minimum."""
        return max(self._end_s - self._clock(), SHORTEST_REQUEST_TIMEOUT_S)
