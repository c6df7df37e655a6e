"""HTTP requests to a graph server: authentication, packing, retries, and what an answer's status means."""

from __future__ import annotations

import gzip
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from urllib3.exceptions import HTTPError

from shared.deadline import time_left_s
from shared.errors import GraphResponseError, GraphUnavailableError
from shared.graph.connections import Connections, Request
from shared.graph.countdown import countdown
from shared.telemetry.log import event, get_logger

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")
GZIP_ABOVE_BYTES = 1_000_000
_LONGEST_PAUSE_S = 30.0
_LONGEST_RETRY_AFTER_S = 120.0
_OVERLOADED = (408, 425, 429, 502, 503, 504)
_REFUSED = (401, 403)
# PyChunkedGraph answers all its faults with 500; these words are in the ones that stay.
_LASTING_FAULTS = ("404 table", "only accepts level")

_logger = get_logger("graph")


class WorthRetryingError(GraphUnavailableError):
    """A request that another try may get answered; `retry_after_s` is the delay that the server asks for, or 0."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerFaultError(WorthRetryingError):
    """Status 500 for a cause that is not known to last."""


class GraphTransport:
    """Requests with retries over kept-alive connections. May be used by many threads.

    Args:
      token: sent as `Authorization: Bearer`; None sends none.
      timeout_s: for connecting, and for each pause while reading.
      attempts: tries of one request before it counts as failed.
      connections: kept open at most.
      backoff_s: the pause before try n is random, up to `backoff_s * 2**(n - 2)` and at most 30 s.
      sleep: waits for that many seconds.
    """

    def __init__(
        self,
        token: str | None,
        timeout_s: float,
        attempts: int,
        connections: int = 8,
        backoff_s: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._backoff = wait_random_exponential(multiplier=backoff_s, max=_LONGEST_PAUSE_S)
        self._sleep = sleep
        self._connections = Connections(connections)

    def get(self, url: str, read: Callable[[bytes], T], retry_faults: bool = True, within_s: float = math.inf) -> T:
        """What `read` makes of the answer to a GET; see `post`."""
        return self._with_retries(Request("GET", url, self._headers), read, retry_faults, within_s)

    def post(
        self,
        url: str,
        read: Callable[[bytes], T],
        body: bytes,
        content_type: str,
        params: Mapping[str, str] | None = None,
        retry_faults: bool = True,
        within_s: float = math.inf,
    ) -> T:
        """What `read` makes of the answer to a POST.

        Args:
          url: address of the method.
          read: turns the answer's body into its value; a ValueError means that the body is malformed, and is retried.
          body: the request's body, packed here if it is large.
          content_type: of the body.
          params: query parameters.
          retry_faults: whether a status 500 of unknown cause is worth another try.
          within_s: no try is begun after this time, and none waits longer for the server than what is left of it.

        Raises:
          GraphUnavailableError: if the last try failed too (a `ServerFaultError` if that was a 500).
          GraphResponseError: if the answer says that no retry will help.
        """
        headers = {**self._headers, "Content-Type": content_type}
        if len(body) > GZIP_ABOVE_BYTES:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"

        if params:
            url = f"{url}?{urlencode(params)}"
        return self._with_retries(Request("POST", url, headers, body), read, retry_faults, within_s)

    def _with_retries(self, request: Request, read: Callable[[bytes], T], retry_faults: bool, within_s: float) -> T:
        """What is read of the first of several answers that can be."""
        within_s = time_left_s(within_s)
        left_s = countdown(within_s)

        def once() -> T:
            timeout_s = min(self._timeout_s, left_s())
            if timeout_s <= 0:
                raise WorthRetryingError("there is no time left to ask the graph server")
            try:
                return read(self._answer(request, timeout_s))
            except ValueError as error:
                raise WorthRetryingError("the graph server's answer is malformed") from error

        def worth_retrying(error: BaseException) -> bool:
            return isinstance(error, WorthRetryingError) and (retry_faults or not isinstance(error, ServerFaultError))

        try:
            return once()
        except WorthRetryingError as error:
            failures = [error]

        def again() -> T:
            if failures:
                raise failures.pop()
            return once()

        # Made only now, with the first failure as its own first: it takes a third of a small request's time.
        retrying = Retrying(
            stop=stop_after_attempt(self._attempts) | stop_before_delay(left_s()),
            wait=self._pause_s,
            retry=retry_if_exception(worth_retrying),
            before_sleep=_log_retry,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(again)

    def _pause_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        wish_s = error.retry_after_s if isinstance(error, WorthRetryingError) else 0.0
        return max(self._backoff(state), min(wish_s, _LONGEST_RETRY_AFTER_S))

    def _answer(self, request: Request, timeout_s: float) -> bytes:
        try:
            response = self._connections.send(request, timeout_s)
        except HTTPError as error:
            raise WorthRetryingError(f"the graph server cannot be reached ({type(error).__name__})") from error
        if response.status < 400:
            return response.data
        raise _failure(response)


def _failure(response: BaseHTTPResponse) -> GraphUnavailableError | GraphResponseError:
    """The error that a status stands for. The server's own words go to the log only: they name paths and projects."""
    status, words = response.status, _server_message(response)
    event(_logger, logging.WARNING, "graph server refused a request", status=status, server_message=words)
    if status in _OVERLOADED:
        return WorthRetryingError(f"the graph server answered with status {status}", _retry_after_s(response))
    if status in _REFUSED:
        # Not retried here, but by the caller: an operator can replace a token, and nothing must be lost until then.
        return GraphUnavailableError(f"the graph server refused the token (status {status})")
    lasting = any(fault in words.lower() for fault in _LASTING_FAULTS)
    if status >= 500 and not lasting:
        return ServerFaultError(f"the graph server answered with status {status}")
    return GraphResponseError(f"the graph server does not know the table or the request (status {status})")


def _server_message(response: BaseHTTPResponse) -> str:
    try:
        document = response.json()
    except ValueError:
        return ""
    return str(document.get("message", ""))[:300] if isinstance(document, dict) else ""


def _retry_after_s(response: BaseHTTPResponse) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    event(_logger, logging.WARNING, "graph request is tried again", attempt=state.attempt_number, reason=str(error))
