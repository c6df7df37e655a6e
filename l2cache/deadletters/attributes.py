"""What the compute function and Pub/Sub write beside a dead letter; the functions' own names are in `shared.bus`."""

from __future__ import annotations

from collections.abc import Mapping

REASON = "dead_letter_reason"
ATTEMPTS = "dead_letter_attempts"
MESSAGE_ID = "dead_letter_message_id"

# https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic
PUBSUB_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"
_PUBSUB_PREFIX = "CloudPubSubDeadLetter"


def original_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes that a dead letter was first published with."""
    return {
        name: value
        for name, value in attributes.items()
        if name not in (REASON, ATTEMPTS, MESSAGE_ID) and not name.startswith(_PUBSUB_PREFIX)
    }
