"""The Pub/Sub publisher keeps the contract of publishers, on Google's emulator."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from infra.local.emulators import Emulator
from infra.local.free_port import free_port
from shared.bus.open import open_bus
from shared.bus.protocol import Publisher
from shared.bus.pubsub import PubSubPublisher
from shared.errors import ConfigurationError, StorageUnavailableError
from tests.contract.publisher_contract import MISS, PublisherContract, Received

PROJECT = "l2cache-test"
PATIENCE_S = 30.0


@pytest.fixture
def topic(pubsub_environment: Emulator) -> str:
    name = f"topic-{uuid.uuid4().hex[:12]}"
    client = PublisherClient()
    client.create_topic(name=f"projects/{PROJECT}/topics/{name}")
    client.transport.close()
    return name


@pytest.fixture
def publisher(topic: str) -> Iterator[Publisher]:
    publisher = open_bus(f"pubsub://{PROJECT}/{topic}")
    yield publisher
    publisher.close()


class TestPubSubPublisher(PublisherContract):
    @pytest.fixture
    def publisher(self, topic: str, received: Received) -> Iterator[Publisher]:
        # after the subscription: a topic keeps nothing for those who come later
        publisher = open_bus(f"pubsub://{PROJECT}/{topic}")
        yield publisher
        publisher.close()

    @pytest.fixture
    def received(self, topic: str) -> Iterator[Received]:
        subscription = f"projects/{PROJECT}/subscriptions/{topic}"
        with SubscriberClient() as client:
            client.create_subscription(name=subscription, topic=f"projects/{PROJECT}/topics/{topic}")

            def received(count: int) -> list[tuple[dict[str, str], bytes]]:
                messages: list[tuple[dict[str, str], bytes]] = []
                give_up_at = time.monotonic() + PATIENCE_S
                while len(messages) < count and time.monotonic() < give_up_at:
                    answer = client.pull(subscription=subscription, max_messages=100, timeout=PATIENCE_S)
                    messages += [(dict(got.message.attributes), got.message.data) for got in answer.received_messages]
                    ids = [got.ack_id for got in answer.received_messages]
                    if ids:
                        client.acknowledge(subscription=subscription, ack_ids=ids)
                return messages

            yield received


def test_a_topic_that_is_not_there_is_unavailable(pubsub_environment: Emulator) -> None:
    publisher = open_bus(f"pubsub://{PROJECT}/no-such-topic")
    with pytest.raises(StorageUnavailableError, match="NotFound"):
        publisher.publish(MISS, b"12345678")
    publisher.close()


def test_a_bus_that_does_not_answer_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    publisher = PubSubPublisher(PROJECT, "topic", timeout_s=0.5)
    with pytest.raises(StorageUnavailableError):
        publisher.publish(MISS, b"12345678")
    publisher.close()


@pytest.mark.parametrize("address", ["pubsub://", "pubsub://project", "pubsub://project/", "pubsub://project/a/b"])
def test_an_address_that_is_no_topic_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="pubsub://PROJECT/TOPIC"):
        open_bus(address)
