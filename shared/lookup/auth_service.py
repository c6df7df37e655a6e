"""How the authentication service is asked on behalf of a look-up: within a time, and with an eye on what it answers.

`middle-auth-client` asks through one session of `requests`. By itself it waits without limit for a user's permissions,
takes every status but 200 for a token that is not valid, keeps that for minutes, trusts whatever JSON it is given, and
shares a cache without a lock among threads.
"""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from requests import PreparedRequest, RequestException, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestConnectionError
from requests.exceptions import Timeout
from urllib3.util import create_urllib3_context

from shared.deadline import time_left_s, within

_IN_ALL_S = 9.5
_ATTEMPT_S = 5.0
_PAUSES_S = (0.1, 0.2, 0.4, 0.8)
_LONGEST_RETRY_AFTER_S = 300
_OVERLOADED = (408, 429)
_DATASET_PATH = "/dataset"


class UnusableAnswerError(RequestException):
    """The service answered that it cannot, or nonsense; `retry_after_s` is the delay that it asks for."""

    def __init__(self, reason: str, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@contextmanager
def asking(limit_s: float = _IN_ALL_S) -> Iterator[None]:
    """Bounds all that this thread asks the service inside the block; a block inside it does not extend the time."""
    with within(limit_s):
        yield


def bound(session: Session) -> None:
    """Has a session ask the service through this module's adapter only, also where it is redirected to."""
    adapter = ServiceAdapter()
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    for prefix in [prefix for prefix in session.adapters if prefix not in ("https://", "http://")]:
        del session.adapters[prefix]


def share_users(decorators: Any) -> None:
    """Makes middle-auth-client's cache of users fit for threads.

    It has no lock, and its links are torn when several threads put users in and out: every later request is then a
    `KeyError`, until the process ends.

    Args:
      decorators: the module `middle_auth_client.decorators`.
    """
    if isinstance(decorators.token_to_user_cache, _LockedUsers):
        return
    users, lock = decorators.token_to_user_cache, threading.RLock()
    ask = decorators.user_cache_http.__wrapped__
    decorators.setPermissionLookupOverride(decorators.cached(cache=users, lock=lock)(ask))
    decorators.token_to_user_cache = _LockedUsers(users, lock)


@dataclass(frozen=True)
class _LockedUsers:
    """All that middle-auth-client does with its cache of users itself."""

    users: MutableMapping[Any, Any]
    lock: threading.RLock

    def pop(self, key: object, default: object) -> object:
        with self.lock:
            return self.users.pop(key, default)


class ServiceAdapter(HTTPAdapter):
    """Sends requests to the service, again if it is unavailable for a moment; answers that cannot be used are errors.

    An error reaches the caller before middle-auth-client can take the answer for something else and keep it.
    """

    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As in `HTTPAdapter`, with sockets that keep the time limit."""
        context = create_urllib3_context()
        context.sslsocket_class = _TimedSocket
        super().init_poolmanager(*arguments, **options, ssl_context=context)

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        """The service's answer.

        Raises:
          UnusableAnswerError: if there is one that cannot be used.
          RequestException: if there is none.
        """
        for pause_s in (*_PAUSES_S, math.inf):
            last = pause_s >= time_left_s()
            try:
                response = self._attempt(request, *arguments, **options)
            except (RequestConnectionError, Timeout):
                if last:
                    raise
            else:
                if last or response.status_code < 500:
                    break
            time.sleep(pause_s)
        _check(response)
        return response

    def _attempt(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        with asking(_ATTEMPT_S):
            left_s = time_left_s()
            if left_s <= 0:
                raise Timeout("there is no time left")
            # Connecting and shaking hands may each take as long as the first of these.
            options["timeout"] = (left_s / 2, left_s)
            response = super().send(request, *arguments, **options)
            _ = response.content  # is read here, within the time
        return response


class _TimedSocket(ssl.SSLSocket):
    """A socket on which all that is received must come in time: a time-out alone begins anew with each byte."""

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        left_s = time_left_s()
        if left_s <= 0:
            raise TimeoutError("there is no time left")
        if left_s < math.inf:
            self.settimeout(left_s)
        return super().recv_into(*arguments, **options)


def _check(response: Response) -> None:
    status = response.status_code
    if status in _OVERLOADED or status >= 500:
        raise UnusableAnswerError(f"status {status}", _retry_after_s(response.headers.get("Retry-After", "")))
    if 300 <= status < 500:
        return  # redirects, and what middle-auth-client takes for a refusal
    try:
        value = response.json() if status == 200 else None
    except (ValueError, RecursionError):
        raise UnusableAnswerError("an answer that is no JSON") from None
    if response.url.endswith(_DATASET_PATH):
        if not isinstance(value, str) or not value:
            raise UnusableAnswerError("an answer that is no dataset's name")
    elif not _is_user(value):
        raise UnusableAnswerError("an answer that tells no permissions of a user")


def _is_user(value: object) -> bool:
    """Whether a value has what middle-auth-client reads of a user."""
    if not isinstance(value, dict) or "permissions_v2" not in value:
        return False
    terms = value.get("missing_tos", [])
    return all(
        isinstance(permissions, dict) and all(isinstance(names, list) for names in permissions.values())
        for permissions in (value["permissions_v2"], value.get("permissions_v2_ignore_tos", {}))
    ) and (
        isinstance(terms, list)
        and all(isinstance(entry, dict) and entry.keys() >= {"dataset_name", "tos_id", "tos_name"} for entry in terms)
    )


def _retry_after_s(value: str) -> int | None:
    """The seconds of a `Retry-After`, or until its date, within bounds; None if it is neither."""
    if value.isascii() and value.isdigit():
        wish_s = float(value[:10])
    else:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        wish_s = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(1, math.ceil(wish_s)), _LONGEST_RETRY_AFTER_S)
