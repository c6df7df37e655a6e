"""The one policy of retries for Google's services."""

from __future__ import annotations

import time

import pytest
from google.api_core import exceptions
from google.api_core.exceptions import RetryError

from shared.google.retry import transient_retry

TRANSIENT = (
    exceptions.Aborted,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.ServiceUnavailable,
    exceptions.Unknown,
)
LASTING = (exceptions.NotFound, exceptions.PermissionDenied, exceptions.InvalidArgument, exceptions.AlreadyExists)


class Failing:
    """Fails so many times, then succeeds."""

    def __init__(self, error: type[Exception], times: int) -> None:
        self.error, self.left, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error("no")
        return "done"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.mark.parametrize("error", TRANSIENT)
def test_transient_errors_are_tried_again(error: type[Exception]) -> None:
    request = Failing(error, 3)
    assert transient_retry(60.0)(request)() == "done"
    assert request.calls == 4


@pytest.mark.parametrize("error", LASTING)
def test_others_are_raised_at_once(error: type[Exception]) -> None:
    request = Failing(error, 1)
    with pytest.raises(error):
        transient_retry(60.0)(request)()
    assert request.calls == 1


def test_it_ends_some_time() -> None:
    with pytest.raises(RetryError):
        transient_retry(0.2)(Failing(exceptions.ServiceUnavailable, 10**9))()
