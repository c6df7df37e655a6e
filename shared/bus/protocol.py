"""The protocol of a publisher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Publisher(Protocol):
    """Sends messages to the topic that the compute function is subscribed to. May be used by many threads."""

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        """Hands one message to the bus. When it returns, the message is durable and will be delivered at least once.

        Raises:
          StorageUnavailableError: if the bus does not take it; it may or may not be delivered.
        """

    def close(self) -> None:
        """Closes the connections."""
