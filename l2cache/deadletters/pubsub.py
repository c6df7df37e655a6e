"""Dead letters in the cloud: they wait in a subscription to the dead-letter topic."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from l2cache.deadletters.letter import Letter
from shared.bus.dead_letters import ATTEMPTS_ATTRIBUTE, MESSAGE_ID_ATTRIBUTE, REASON_ATTRIBUTE, original_attributes

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient  # type: ignore[import-untyped]
    from google.pubsub_v1.types import ReceivedMessage

_PER_PULL = 1000  # the most that Pub/Sub gives
_PER_ACKNOWLEDGEMENT = 100
_PUBLISH_TIMEOUT_S = 60.0
# https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic
_PUBSUB_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"
_NO_REASON = "ended without an answer: see the compute function's log"


class PubSubLetterBox:
    """The `LetterBox` of a subscription.

    Args:
      subscription: `projects/PROJECT/subscriptions/SUBSCRIPTION`.
      replay_topic: `projects/PROJECT/topics/TOPIC` that replayed messages are published to.
      wait_s: how long to wait for messages when there seem to be none left.
    """

    def __init__(self, subscription: str, replay_topic: str, wait_s: float) -> None:
        self._subscription = subscription
        self._replay_topic = replay_topic
        self._wait_s = wait_s

    def letters(self, limit: int) -> list[Letter]:
        """As `LetterBox.letters`. While it runs nobody else sees them."""
        from google.cloud.pubsub_v1 import SubscriberClient

        with SubscriberClient() as client:
            pulled = self._pull(client, limit)
            self._give_back(client, pulled)
        return [_letter(received) for received in pulled]

    def replay(self, ids: Collection[str], limit: int) -> int:
        """As `LetterBox.replay`. A message is taken out once the topic has it: if this is cut short, some go twice."""
        from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

        publisher = PublisherClient()
        with SubscriberClient() as client:
            pulled = self._pull(client, limit)
            chosen = [not ids or received.message.message_id in ids for received in pulled]
            self._give_back(client, [received for received, go in zip(pulled, chosen, strict=True) if not go])
            going = [received for received, go in zip(pulled, chosen, strict=True) if go]
            for start in range(0, len(going), _PER_ACKNOWLEDGEMENT):
                self._send(client, publisher, going[start : start + _PER_ACKNOWLEDGEMENT])
        publisher.stop()
        publisher.transport.close()
        return len(going)

    def _send(self, client: SubscriberClient, publisher: PublisherClient, going: Sequence[ReceivedMessage]) -> None:
        """Publishes messages; when the topic has them all, they are taken out."""
        messages = [received.message for received in going]
        sent = [publisher.publish(self._replay_topic, m.data, **original_attributes(m.attributes)) for m in messages]
        for future in sent:
            future.result(timeout=_PUBLISH_TIMEOUT_S)
        client.acknowledge(subscription=self._subscription, ack_ids=[received.ack_id for received in going])

    def _pull(self, client: SubscriberClient, limit: int) -> list[ReceivedMessage]:
        """Leases messages until there seem to be no more, or `limit` of them."""
        from google.api_core.exceptions import DeadlineExceeded

        pulled: dict[str, ReceivedMessage] = {}
        while len(pulled) < limit:
            most = min(_PER_PULL, limit - len(pulled))
            try:
                answer = client.pull(
                    subscription=self._subscription, max_messages=most, timeout=self._wait_s, retry=None
                )
            except DeadlineExceeded:
                break
            fresh = {received.message.message_id: received for received in answer.received_messages}
            if not fresh.keys() - pulled.keys():
                break
            pulled |= fresh
        return list(pulled.values())

    def _give_back(self, client: SubscriberClient, pulled: Sequence[ReceivedMessage]) -> None:
        for start in range(0, len(pulled), _PER_PULL):
            ack_ids = [received.ack_id for received in pulled[start : start + _PER_PULL]]
            client.modify_ack_deadline(subscription=self._subscription, ack_ids=ack_ids, ack_deadline_seconds=0)


def _letter(received: ReceivedMessage) -> Letter:
    message = received.message
    attributes = dict(message.attributes)
    what = original_attributes(attributes)
    if MESSAGE_ID_ATTRIBUTE in attributes:
        what["message_id"] = attributes[MESSAGE_ID_ATTRIBUTE]  # by which the log knows it
    attempts = attributes.get(ATTEMPTS_ATTRIBUTE) or attributes.get(_PUBSUB_ATTEMPTS, "")
    return Letter(message.message_id, what, len(message.data), attempts, attributes.get(REASON_ATTRIBUTE) or _NO_REASON)
