"""When a request to a Google service is worth another try: one policy for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.api_core.retry import Retry

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0


def is_transient(error: BaseException) -> bool:
    """Whether making a request once more may help."""
    from google.api_core import exceptions

    return isinstance(
        error,
        exceptions.Aborted
        | exceptions.DeadlineExceeded
        | exceptions.InternalServerError
        | exceptions.ResourceExhausted
        | exceptions.ServiceUnavailable
        | exceptions.Unknown,
    )


def transient_retry(timeout_s: float) -> Retry:
    """Repeats a request after transient errors, with growing pauses. Only for requests that may be made twice.

    Args:
      timeout_s: when to give up, all tries together.
    """
    from google.api_core.retry import Retry

    return Retry(
        predicate=is_transient, initial=_FIRST_PAUSE_S, maximum=_LONGEST_PAUSE_S, multiplier=2.0, timeout=timeout_s
    )
