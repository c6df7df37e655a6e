"""The bus in the cloud: a Pub/Sub topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.errors import StorageUnavailableError
from shared.google.retry import transient_retry
from shared.once import Once

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient  # type: ignore[import-untyped]

_ATTEMPT_TIMEOUT_S = 10.0
# messages of several threads that come within this time are one request
_BATCH_LATENCY_S = 0.005


class PubSubPublisher:
    """The `Publisher` of one topic: one client, made when it is first needed."""

    def __init__(self, project: str, topic: str, timeout_s: float = 30.0) -> None:
        """Nothing is connected before the first use, so that a server process can fork before.

        Args:
          project: Google Cloud project.
          topic: the topic's name in it.
          timeout_s: how long a message is tried before `publish` fails.
        """
        self._topic = f"projects/{project}/topics/{topic}"
        self._timeout_s = timeout_s
        self._client = Once(self._connect)

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        """As `Publisher.publish`; waits until Pub/Sub has the message."""
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError

        try:
            sent = self._client().publish(self._topic, data, **attributes)
            sent.result(timeout=self._timeout_s + _ATTEMPT_TIMEOUT_S)
        except (GoogleAPICallError, RetryError, GoogleAuthError, TimeoutError) as error:
            raise StorageUnavailableError(f"the bus is not available ({type(error).__name__})") from error

    def close(self) -> None:
        """As `Publisher.close`."""
        client = self._client()
        client.stop()
        client.transport.close()

    def _connect(self) -> PublisherClient:
        from google.cloud.pubsub_v1 import PublisherClient
        from google.cloud.pubsub_v1.types import BatchSettings, PublisherOptions  # type: ignore[import-untyped]

        return PublisherClient(
            batch_settings=BatchSettings(max_latency=_BATCH_LATENCY_S),
            publisher_options=PublisherOptions(
                retry=transient_retry(self._timeout_s), timeout=min(self._timeout_s, _ATTEMPT_TIMEOUT_S)
            ),
        )
