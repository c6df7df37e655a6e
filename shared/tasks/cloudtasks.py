"""The queue in the cloud: a Cloud Tasks queue whose tasks are HTTP requests to the functions, with an OIDC token."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from shared.errors import ConfigurationError, StorageUnavailableError
from shared.google.retry import transient_retry
from shared.once import Once
from shared.tasks.protocol import Target, Task

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.tasks_v2 import CloudTasksClient
    from google.cloud.tasks_v2.types import CreateTaskRequest

_TARGETS: tuple[Target, ...] = ("compute", "ingest")
_FORM = re.compile(r"cloudtasks://[^/?#]+/[^/?#]+/[^/?#]+\?[^#]+")
_OF_A_TARGET = ("audience", "service_account")
_OPTIONS = {*_TARGETS, *(f"{t}_{name}" for t in _TARGETS for name in _OF_A_TARGET), "service_account", "deadline_s"}
_MAX_NAME = 500
_CREATIONS_AT_ONCE = 16
_ATTEMPT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class CloudTasksAddress:
    """Where a queue is and how its tasks reach the functions.

    Attributes:
      queue: `projects/PROJECT/locations/LOCATION/queues/QUEUE`.
      urls: base address of each function.
      audiences: the audience of each function's tokens.
      service_accounts: e-mail of the account that each function's tokens are of; None for no tokens.
      deadline_s: how long a function may take for a task before it is tried again.
    """

    queue: str
    urls: Mapping[Target, str]
    audiences: Mapping[Target, str]
    service_accounts: Mapping[Target, str | None]
    deadline_s: int

    @classmethod
    def parse(cls, address: str) -> CloudTasksAddress:
        """The address in `cloudtasks://PROJECT/LOCATION/QUEUE?compute=URL&ingest=URL&service_account=EMAIL`.

        Further options: `compute_audience`, `ingest_audience` (a function's URL if left out),
        `compute_service_account`, `ingest_service_account` (so that an account may call one function only) and
        `deadline_s` (600).

        Raises:
          ConfigurationError: naming the part that is missing or wrong.
        """
        if not _FORM.fullmatch(address):
            raise ConfigurationError(
                "L2CACHE_QUEUE must be cloudtasks://PROJECT/LOCATION/QUEUE?compute=URL&ingest=URL&service_account=EMAIL"
            )
        parts = urlsplit(address)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise ConfigurationError(f"L2CACHE_QUEUE has unknown options: {', '.join(unknown)}")
        urls = {target: _url(options, target) for target in _TARGETS}
        location, queue = parts.path.strip("/").split("/")
        return cls(
            queue=f"projects/{parts.netloc}/locations/{location}/queues/{queue}",
            urls=urls,
            audiences={target: options.get(f"{target}_audience", urls[target]) for target in _TARGETS},
            service_accounts={target: _service_account(options, target) for target in _TARGETS},
            deadline_s=_deadline_s(options.get("deadline_s", "600")),
        )


class CloudTasksQueue:
    """The `TaskQueue` of one queue: one client, made when it is first needed."""

    def __init__(self, address: CloudTasksAddress, timeout_s: float = 60.0) -> None:
        """Nothing is connected before the first use, so that a server process can fork before.

        Args:
          address: the queue.
          timeout_s: how long the creation of a task is tried before `enqueue` fails.
        """
        self._address = address
        self._timeout_s = timeout_s
        self._client = Once(_client)
        self._creators = Once(lambda: ThreadPoolExecutor(_CREATIONS_AT_ONCE, thread_name_prefix="cloudtasks-create"))

    def enqueue(self, tasks: Sequence[Task]) -> int:
        """As `TaskQueue.enqueue`. A creation that was tried twice because its answer got lost counts as not new."""
        # Tasks have names, so that creating one again is safe.
        retry = transient_retry(self._timeout_s)
        created = [self._creators().submit(self._create, task, retry) for task in tasks]
        return sum([future.result() for future in created])

    def close(self) -> None:
        """As `TaskQueue.close`."""
        self._creators().shutdown()
        self._client().transport.close()

    def _create(self, task: Task, retry: Retry) -> bool:
        from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError

        try:
            self._client().create_task(request=self._request(task), retry=retry, timeout=_ATTEMPT_TIMEOUT_S)
        except AlreadyExists:
            return False
        except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
            raise StorageUnavailableError(f"the queue is not available ({type(error).__name__})") from error
        return True

    def _request(self, task: Task) -> CreateTaskRequest:
        from google.cloud.tasks_v2.types import CreateTaskRequest, HttpMethod, HttpRequest, OidcToken
        from google.cloud.tasks_v2.types import Task as CloudTask

        address = self._address
        request = HttpRequest(
            url=address.urls[task.target] + task.path,
            http_method=HttpMethod.POST,
            headers={"Content-Type": "application/json"},
            body=task.body,
        )
        account = address.service_accounts[task.target]
        if account:
            request.oidc_token = OidcToken(service_account_email=account, audience=address.audiences[task.target])
        return CreateTaskRequest(
            parent=address.queue,
            task=CloudTask(
                name=f"{address.queue}/tasks/{cloud_name(task.name)}",
                http_request=request,
                dispatch_deadline=timedelta(seconds=address.deadline_s),
            ),
        )


def cloud_name(name: str) -> str:
    """The name that a task has in Cloud Tasks: a hash first, since names in sequence slow a queue down."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{digest}-{name}"[:_MAX_NAME]


def _url(options: Mapping[str, str], target: Target) -> str:
    url = options.get(target, "").rstrip("/")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise ConfigurationError(f"L2CACHE_QUEUE must give the URL of the {target} function: {target}=https://...")
    return url


def _service_account(options: Mapping[str, str], target: Target) -> str | None:
    return options.get(f"{target}_service_account") or options.get("service_account") or None


def _deadline_s(text: str) -> int:
    if not text.isdecimal() or not 15 <= int(text) <= 1800:
        raise ConfigurationError("the deadline_s of L2CACHE_QUEUE must be a whole number from 15 to 1800")
    return int(text)


def _client() -> CloudTasksClient:
    """A client; Google's looks for no emulator by itself, the variable is a convention of others."""
    from google.cloud.tasks_v2 import CloudTasksClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    emulator = os.environ.get("CLOUD_TASKS_EMULATOR_HOST")
    if not emulator:
        return CloudTasksClient()
    import grpc

    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(emulator)))
