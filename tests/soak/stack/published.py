"""What was ever published to a topic."""

from __future__ import annotations

from typing import Any

from infra.local.emulator_admin import Topic

_PER_PULL = 1000


class Published:
    """Ids of all messages of a topic from now on, from a subscription of its own: the others are left alone.

    Args:
      channel: to the Pub/Sub emulator.
      topic: the topic.
    """

    def __init__(self, channel: Any, topic: Topic) -> None:
        from google.pubsub_v1 import SubscriberClient
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        self._client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._name = f"{topic.subscription}-published"
        self._client.create_subscription(name=self._name, topic=topic.path)
        self._ids: set[str] = set()

    def ids(self) -> set[str]:
        """All so far."""
        while True:
            request = {"subscription": self._name, "max_messages": _PER_PULL, "return_immediately": True}
            received = list(self._client.pull(request=request, timeout=20).received_messages)
            if not received:
                return set(self._ids)
            self._ids |= {one.message.message_id for one in received}
            self._client.acknowledge(subscription=self._name, ack_ids=[one.ack_id for one in received], timeout=20)
