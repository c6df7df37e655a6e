from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadMessageError
from shared.messages.cloud_events import PUBSUB_EVENT_TYPE, PushedMessage, parse_push

MESSAGE = {"data": "AQAAAAAAAAI=", "attributes": {"table_id": "minnie65"}, "messageId": "15"}
EXPECTED = PushedMessage("15", {"table_id": "minnie65"}, b"\1\0\0\0\0\0\0\2")
BINARY = {"ce-specversion": "1.0", "ce-type": PUBSUB_EVENT_TYPE, "ce-id": "15", "ce-source": "//pubsub"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}


def push(message: object) -> bytes:
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


def structured(**fields: Any) -> bytes:
    return json.dumps({"specversion": "1.0", "type": PUBSUB_EVENT_TYPE, "id": "15", "source": "//p", **fields}).encode()


def test_a_plain_push_body_is_understood() -> None:
    assert parse_push({"Content-Type": "application/json"}, push(MESSAGE)) == EXPECTED


def test_a_cloud_event_in_binary_mode_is_understood() -> None:
    assert parse_push({name.title(): value for name, value in BINARY.items()}, push(MESSAGE)) == EXPECTED


def test_a_cloud_event_in_structured_mode_is_understood() -> None:
    assert parse_push(STRUCTURED, structured(data={"message": MESSAGE, "subscription": "s"})) == EXPECTED
    packed = base64.b64encode(push(MESSAGE)).decode()
    assert parse_push(STRUCTURED, structured(data_base64=packed)) == EXPECTED


def test_the_number_of_the_delivery_is_read_where_the_bus_counts() -> None:
    for counted, expected in ((7, 7), (None, None), ("7", None), (0, None)):
        body = {"message": MESSAGE, "subscription": "s", "deliveryAttempt": counted}
        assert parse_push({}, json.dumps(body).encode()).attempt == expected


@pytest.mark.parametrize("absent", [{}, {"data": None}, {"data": ""}])
def test_a_message_without_data_or_attributes_has_none(absent: dict[str, object]) -> None:
    assert parse_push({}, push({**absent, "message_id": "7"})) == PushedMessage("7", {}, b"")


@given(st.dictionaries(st.text(), st.text()), st.binary(), st.text(min_size=1))
def test_whatever_was_published_arrives(attributes: dict[str, str], data: bytes, message_id: str) -> None:
    encoded = base64.b64encode(data).decode()
    body = push({"data": encoded, "attributes": attributes, "messageId": message_id})
    assert parse_push(BINARY, body) == PushedMessage(message_id, attributes, data)


@pytest.mark.parametrize(
    ("headers", "body", "named"),
    [
        ({}, b"", "body"),
        ({}, b"\xff", "body"),
        ({}, b"[" * 100_000, "body"),
        ({}, b"[]", "body"),
        ({}, b"{}", "message"),
        ({}, push("text"), "message"),
        ({}, push({"data": "not base64!"}), "data"),
        ({}, push({"data": 7}), "data"),
        ({}, push({"data": "ä"}), "data"),
        ({}, push({"attributes": ["table_id"]}), "attributes"),
        ({}, push({"attributes": {"table_id": 7}}), "attributes"),
        ({**BINARY, "ce-type": "google.cloud.storage.object.v1.finalized"}, push(MESSAGE), "storage"),
        ({**BINARY, "ce-specversion": "0.2"}, push(MESSAGE), "0.2"),
        ({}, push({"attributes": {"table_id": "\ud800"}}), "half of a surrogate pair"),
        ({}, push({"messageId": "\udfff"}), "half of a surrogate pair"),
        (STRUCTURED, structured(type="\ud800", data={"message": MESSAGE}), "half of a surrogate pair"),
        (STRUCTURED, structured(), "data"),
        (STRUCTURED, structured(data="text"), "data"),
        (STRUCTURED, structured(data_base64="e30"), "data_base64"),
        (STRUCTURED, structured(type="other", data={"message": MESSAGE}), "other"),
        (STRUCTURED, push(MESSAGE), "version"),
    ],
)
def test_anything_else_is_a_bad_message_that_names_the_part(headers: dict[str, str], body: bytes, named: str) -> None:
    with pytest.raises(BadMessageError, match=named):
        parse_push(headers, body)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda d: json.dumps(d).encode()))
def test_no_body_raises_anything_but_a_bad_message(body: bytes) -> None:
    for headers in ({}, BINARY, STRUCTURED):
        with pytest.raises(BadMessageError):
            parse_push(headers, body)
