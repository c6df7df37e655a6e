"""Dead letters with their reason: messages that failed at their last delivery.

Pub/Sub moves a message whose deliveries all failed to a dead-letter topic by itself, but knows no reason. So the
handler of a message publishes it there at the last attempt, with the reason as an attribute, and acknowledges it. What
Pub/Sub still has to move is what ended without an answer: a killed instance, an unexpected error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from shared.bus.protocol import Publisher
from shared.errors import StorageUnavailableError
from shared.messages.cloud_events import PushedMessage
from shared.telemetry.log import event, get_logger

REASON_ATTRIBUTE = "dead_letter_reason"
ATTEMPTS_ATTRIBUTE = "dead_letter_attempts"
MESSAGE_ID_ATTRIBUTE = "dead_letter_message_id"
_OUR_ATTRIBUTES = (REASON_ATTRIBUTE, ATTEMPTS_ATTRIBUTE, MESSAGE_ID_ATTRIBUTE)
_PUBSUB_PREFIX = "CloudPubSubDeadLetter"
_MOST_BYTES = 1024  # of an attribute's value

_logger = get_logger("bus")


@dataclass(frozen=True)
class DeadLetterBox:
    """Where messages go that failed at their last attempt.

    Attributes:
      publisher: of the dead-letter topic.
      attempts: deliveries that a message gets.
    """

    publisher: Publisher
    attempts: int

    def take(self, message: PushedMessage, reason: str) -> bool:
        """Publishes a message that failed, if this was its last attempt; see `give_up`."""
        return (message.attempt or 1) >= self.attempts and self.give_up(message, reason)

    def give_up(self, message: PushedMessage, reason: str) -> bool:
        """Publishes a message that failed, however many attempts it has left.

        Returns:
          Whether it did: the message is then to be acknowledged. False if the topic cannot be reached: the message is
          then left to the bus, which delivers it again or, after the last attempt, moves it without the reason.
        """
        attributes = {
            **message.attributes,
            REASON_ATTRIBUTE: _short(reason),
            ATTEMPTS_ATTRIBUTE: str(message.attempt or 1),
            MESSAGE_ID_ATTRIBUTE: message.message_id,
        }
        try:
            self.publisher.publish(attributes, message.data)
        except StorageUnavailableError as error:
            event(_logger, logging.ERROR, "dead letter was not published", reason=str(error), message_reason=reason)
            return False
        return True


def original_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes that a dead letter was first published with."""
    return {
        name: value
        for name, value in attributes.items()
        if name not in _OUR_ATTRIBUTES and not name.startswith(_PUBSUB_PREFIX)
    }


def _short(text: str) -> str:
    return text.encode()[:_MOST_BYTES].decode(errors="ignore")
