"""What a push subscription, or Eventarc, posts to the compute function: envelopes around a Pub/Sub message."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import BadMessageError

PUBSUB_EVENT_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"
_STRUCTURED = "application/cloudevents+json"


@dataclass(frozen=True)
class PushedMessage:
    """A message as the bus delivers it.

    Attributes:
      message_id: the bus's own name for it, "" if it gave none.
      attributes: text by text.
      data: the payload, b"" if there is none.
      attempt: how often it was delivered, this time included; None if the bus does not say so: it does if there is a
        dead-letter topic.
    """

    message_id: str
    attributes: Mapping[str, str]
    data: bytes
    attempt: int | None = None


def parse_push(headers: Mapping[str, str], body: bytes) -> PushedMessage:
    """The message in a delivery.

    Understood are CloudEvents 1.0 of the type `google.cloud.pubsub.topic.v1.messagePublished`, in binary mode
    (attributes in `ce-` headers) and in structured mode (`application/cloudevents+json`), and a push subscription's
    plain body.

    Args:
      headers: of the request, names in any case.
      body: of the request, not packed.

    Raises:
      BadMessageError: if it is none of these; the message names the part that is wrong.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    document = _json_object(body, "the body")
    if lower.get("content-type", "").split(";")[0].strip().lower() == _STRUCTURED:
        _check_event(document.get("specversion"), document.get("type"))
        document = _event_data(document)
    elif "ce-type" in lower or "ce-specversion" in lower:
        _check_event(lower.get("ce-specversion"), lower.get("ce-type"))
    message = document.get("message")
    if not isinstance(message, dict):
        raise BadMessageError("the delivery has no message")
    data = _base64(message.get("data"), "the message's data")
    return PushedMessage(_message_id(message), _attributes(message), data, _attempt(document))


def _check_event(version: object, event_type: object) -> None:
    if version != "1.0":
        raise BadMessageError(f"CloudEvents version {version!r} is not understood")
    if event_type != PUBSUB_EVENT_TYPE:
        raise BadMessageError(f"an event of type {event_type!r}, not {PUBSUB_EVENT_TYPE}")


def _event_data(event: dict[str, Any]) -> dict[str, Any]:
    if "data_base64" in event:
        return _json_object(_base64(event["data_base64"], "the event's data_base64"), "the event's data")
    data = event.get("data")
    if not isinstance(data, dict):
        raise BadMessageError("the event's data is no JSON object")
    return data


def _message_id(message: dict[str, Any]) -> str:
    # A push subscription writes it in both ways, Eventarc and the emulator in one.
    return str(message.get("messageId") or message.get("message_id") or "")


def _attempt(document: dict[str, Any]) -> int | None:
    attempt = document.get("deliveryAttempt")
    return attempt if isinstance(attempt, int) and attempt > 0 else None


def _attributes(message: dict[str, Any]) -> dict[str, str]:
    attributes = message.get("attributes")
    if attributes is None:
        return {}
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise BadMessageError("the message's attributes are not text by text")
    return attributes


def _base64(value: object, part: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise BadMessageError(f"{part} is not base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadMessageError(f"{part} is not base64") from error


def _json_object(raw: bytes, part: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"{part} is not JSON") from error
    if not isinstance(document, dict):
        raise BadMessageError(f"{part} is no JSON object")
    return document
