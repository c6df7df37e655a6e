"""The topic of the emulator stack: what fails again and again ends among the dead letters."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from werkzeug import Request, Response

from infra.local.emulator_admin import ATTEMPTS_BEFORE_DEAD, Topic, create_topic
from infra.local.emulators import Emulator
from tests.graph_servers import serving

PATIENCE_S = 120.0


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
                return received.message
    raise AssertionError(f"no message within {PATIENCE_S:g} s")


def test_a_message_that_is_refused_again_and_again_becomes_a_dead_letter(
    pubsub_environment: Emulator, picky_server: tuple[str, list[bytes]]
) -> None:
    url, bodies = picky_server
    topic = Topic("l2cache-test", f"topic-{uuid.uuid4().hex[:12]}")
    create_topic(pubsub_environment.endpoint, topic, url, least_pause=timedelta(milliseconds=50))
    publisher = PublisherClient()
    publisher.publish(topic.path, b"12345678", table_id="graph").result(timeout=30)
    publisher.transport.close()
    with SubscriberClient() as subscriber:
        subscription = topic.dead_letters.subscription
        message = pull(subscriber, subscription)
        subscriber.delete_subscription(subscription=topic.subscription)
        subscriber.delete_subscription(subscription=subscription)
    assert message.data == b"12345678"
    assert message.attributes["table_id"] == "graph"
    assert len(bodies) >= ATTEMPTS_BEFORE_DEAD
