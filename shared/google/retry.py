"""When a request to a Google service is worth another try."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.api_core.retry import Retry


def transient_retry(timeout_s: float) -> Retry:
    """Repeats a request after transient failures, with growing pauses. Only for requests that may be made twice.

    Args:
      timeout_s: when to give up, all tries together.
    """
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_exception_type

    transient = if_exception_type(
        exceptions.Aborted,
        exceptions.DeadlineExceeded,
        exceptions.InternalServerError,
        exceptions.ResourceExhausted,
        exceptions.ServiceUnavailable,
        exceptions.Unknown,
    )
    return Retry(predicate=transient, initial=0.1, maximum=5.0, multiplier=2.0, timeout=timeout_s)
