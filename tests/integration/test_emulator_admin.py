"""The topics of the emulator stack: none waits for another, and what fails again and again becomes a dead letter."""

import base64
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from werkzeug import Request, Response

from infra.local.emulator_admin import ATTEMPTS_BEFORE_DEAD, Topic, create_topics
from infra.local.emulators import Emulator
from tests.support.graph.servers import serving

PATIENCE_S = 120.0
MESSAGES = (b"first", b"second", b"third")


@pytest.fixture
def picky_server() -> Iterator[tuple[str, list[bytes]]]:
    """Address of a server that answers 503 to everything, and the bodies that it was sent."""
    bodies: list[bytes] = []

    @Request.application
    def refuse(request: Request) -> Response:
        bodies.append(request.get_data())
        return Response(status=503)

    with serving(refuse) as address:
        yield address, bodies


def pull(subscriber: SubscriberClient, subscription: str) -> Any:
    """The next message of a subscription."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        with contextlib.suppress(DeadlineExceeded):
            answer = subscriber.pull(subscription=subscription, max_messages=1, timeout=PATIENCE_S)
            for received in answer.received_messages:
                subscriber.acknowledge(subscription=subscription, ack_ids=[received.ack_id])
                return received.message
    raise AssertionError(f"no message within {PATIENCE_S:g} s")


def unused(kind: str) -> Topic:
    return Topic("l2cache-test", f"{kind}-{uuid.uuid4().hex[:12]}")


def test_all_messages_that_are_refused_again_and_again_become_dead_letters(
    pubsub_environment: Emulator, picky_server: tuple[str, list[bytes]]
) -> None:
    url, bodies = picky_server
    topic, dead = unused("topic"), unused("dead")
    create_topics(pubsub_environment.endpoint, {topic: url}, dead)
    publisher = PublisherClient()
    for data in MESSAGES:
        publisher.publish(topic.path, data, table_id="graph").result(timeout=30)
    publisher.transport.close()
    with SubscriberClient() as subscriber:
        messages = [pull(subscriber, dead.subscription) for _ in MESSAGES]
        for subscription in (topic.subscription, dead.subscription):
            subscriber.delete_subscription(subscription=subscription)
    assert sorted(message.data for message in messages) == sorted(MESSAGES)
    assert {message.attributes["table_id"] for message in messages} == {"graph"}
    assert len(bodies) >= ATTEMPTS_BEFORE_DEAD * len(MESSAGES)


def test_what_waits_in_one_topic_holds_no_other_up(
    pubsub_environment: Emulator, picky_server: tuple[str, list[bytes]]
) -> None:
    url, bodies = picky_server
    misses, edits, dead = unused("misses"), unused("edits"), unused("dead")
    letting = threading.Event()

    @Request.application
    def stuck(_request: Request) -> Response:
        letting.wait(PATIENCE_S)
        return Response(status=204)

    with serving(stuck) as stuck_url, SubscriberClient() as subscriber:
        create_topics(pubsub_environment.endpoint, {misses: stuck_url, edits: url}, dead)
        publisher = PublisherClient()
        for future in [publisher.publish(misses.path, b"miss", table_id="graph") for _ in range(1000)]:
            future.result(timeout=30)
        publisher.publish(edits.path, b"edit", table_id="graph").result(timeout=30)
        publisher.transport.close()
        end_s = time.monotonic() + PATIENCE_S
        while not bodies and time.monotonic() < end_s:
            time.sleep(0.01)
        for topic in (misses, edits, dead):
            subscriber.delete_subscription(subscription=topic.subscription)
        letting.set()
    assert base64.b64decode(json.loads(bodies[0])["message"]["data"]) == b"edit"
