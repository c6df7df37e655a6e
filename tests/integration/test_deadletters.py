"""The operator's command for dead letters, on Pub/Sub's emulator and on the local stack's file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from infra.local.emulators import Emulator
from l2cache.deadletters.commands import main
from shared.bus.dead_letters import DeadLetterBox
from shared.bus.open import open_bus, open_dead_letters
from shared.messages.cloud_events import PushedMessage
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Delivery, Failure, RetryPolicy

PROJECT = "l2cache-test"
NOW_S = 1_800_000_000.0
MISS = {"table_id": "graph", "l2_cache_id": "cache"}


def run(*arguments: str) -> list[list[str]]:
    """The command's lines, each in its fields."""
    done = CliRunner().invoke(main, [*arguments, "--wait", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [line.split("\t") for line in done.stdout.splitlines()]


def complaint(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 2
    return done.output


def test_what_the_compute_function_gives_up_on_the_local_stack_is_listed_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "deliveries.db"
    letters = open_dead_letters(f"sqlite://{file}")
    box = DeadLetterBox(letters, attempts=10)
    edit = {"table_id": "graph", "remesh_priority": "true"}
    assert box.take(PushedMessage("7", MISS, b"12345678", 10), "the volume is away")
    assert box.give_up(PushedMessage("8", edit, b"an edit", 2), "the process died")
    letters.close()
    listed = run("list", str(file))
    assert [line[1:] for line in listed] == [
        ["l2_cache_id=cache message_id=7 table_id=graph", "8 bytes", "10 attempts", "the volume is away"],
        ["message_id=8 remesh_priority=true table_id=graph", "7 bytes", "2 attempts", "the process died"],
    ]
    assert run("replay", str(file)) == [["2 dead letters will be delivered again"]]
    assert run("list", str(file)) == []
    deliveries = Deliveries(file)
    replayed = [(lease.kind, lease.attributes, lease.body, lease.attempt) for lease in deliveries.lease(5, 1e12)]
    deliveries.close()
    assert replayed == [("edit", edit, b"an edit", 1), ("message", MISS, b"12345678", 1)]


@dataclass(frozen=True)
class Place:
    """Topics and subscriptions as Terraform names them."""

    name: str
    client: SubscriberClient

    @property
    def dead_letters(self) -> str:
        return f"projects/{PROJECT}/subscriptions/{self.name}-dead-letters"

    def replayed(self, most: int = 10) -> list[tuple[dict[str, str], bytes]]:
        subscription = f"projects/{PROJECT}/subscriptions/{self.name}-replay"
        answer = self.client.pull(subscription=subscription, max_messages=most, timeout=30)
        ack_ids = [received.ack_id for received in answer.received_messages]
        self.client.acknowledge(subscription=subscription, ack_ids=ack_ids)
        return [(dict(received.message.attributes), received.message.data) for received in answer.received_messages]


@pytest.fixture
def place(pubsub_environment: Emulator) -> Iterator[Place]:
    name = f"l2cache-{uuid.uuid4().hex[:8]}"
    publisher = PublisherClient()
    with SubscriberClient() as client:
        for kind in ("dead-letters", "replay"):
            topic = f"projects/{PROJECT}/topics/{name}-{kind}"
            publisher.create_topic(name=topic)
            client.create_subscription(
                name=f"projects/{PROJECT}/subscriptions/{name}-{kind}", topic=topic, ack_deadline_seconds=600
            )
        yield Place(name, client)
    publisher.transport.close()


def give_up(place: Place, *letters: tuple[bytes, str]) -> None:
    """Has messages given up, as the compute function does it at their last delivery."""
    bus = open_bus(f"pubsub://{PROJECT}/{place.name}-dead-letters")
    box = DeadLetterBox(bus, attempts=30)
    for number, (data, reason) in enumerate(letters):
        assert box.take(PushedMessage(f"m{number}", MISS, data, 30), reason)
    bus.close()


def test_dead_letters_in_the_cloud_are_listed_with_their_reason_and_stay(place: Place) -> None:
    give_up(place, (b"12345678", "the volume is away"), (b"", "the graph server refuses the token"))
    for _ in range(2):
        lines = sorted(run("list", place.dead_letters), key=lambda line: line[1])
        assert [line[1:] for line in lines] == [
            ["l2_cache_id=cache message_id=m0 table_id=graph", "8 bytes", "30 attempts", "the volume is away"],
            [
                "l2_cache_id=cache message_id=m1 table_id=graph",
                "0 bytes",
                "30 attempts",
                "the graph server refuses the token",
            ],
        ]


def test_a_replayed_dead_letter_is_the_message_that_it_was_and_leaves_the_box(place: Place) -> None:
    give_up(place, (b"12345678", "the volume is away"), (b"87654321", "the volume is away"))
    first = next(line[0] for line in run("list", place.dead_letters) if "message_id=m0" in line[1])
    assert run("replay", place.dead_letters, first) == [["1 dead letters will be delivered again"]]
    assert place.replayed() == [(MISS, b"12345678")]
    assert ["message_id=m1" in line[1] for line in run("list", place.dead_letters)] == [True]
    assert run("replay", place.dead_letters) == [["1 dead letters will be delivered again"]]
    assert place.replayed() == [(MISS, b"87654321")]
    assert run("list", place.dead_letters) == []


def test_what_pubsub_moved_by_itself_loses_its_marks_when_replayed(place: Place) -> None:
    marks = {
        "CloudPubSubDeadLetterSourceDeliveryCount": "30",
        "CloudPubSubDeadLetterSourceSubscription": "l2cache-misses",
    }
    bus = open_bus(f"pubsub://{PROJECT}/{place.name}-dead-letters")
    bus.publish({**MISS, **marks}, b"12345678")
    bus.close()
    (line,) = run("list", place.dead_letters)
    assert line[1:4] == ["l2_cache_id=cache table_id=graph", "8 bytes", "30 attempts"]
    assert "log" in line[4]
    run("replay", place.dead_letters)
    assert place.replayed() == [(MISS, b"12345678")]


def test_no_more_are_looked_at_than_asked_for(place: Place) -> None:
    give_up(place, *[(bytes(8), f"reason {number}") for number in range(5)])
    assert len(run("list", place.dead_letters, "--limit", "3")) == 3
    assert len(run("list", place.dead_letters)) == 5


def test_a_place_that_is_none_and_a_topic_that_is_missing_are_named(tmp_path: Path) -> None:
    assert "/nowhere.db is neither" in complaint("list", "/nowhere.db")
    (tmp_path / "other.db").write_bytes(b"no database, but long enough to be looked at as one" * 99)
    done = CliRunner().invoke(main, ["list", str(tmp_path / "other.db")])
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: the file's dead letters cannot be reached: file is not a database\n",
    )
    assert "--topic" in complaint("replay", "projects/p/subscriptions/other")
    assert "topics/x is not" in complaint("replay", "projects/p/subscriptions/other", "--topic", "topics/x")


def test_the_local_stacks_dead_letters_are_listed_and_replayed_in_the_same_way(tmp_path: Path) -> None:
    file = tmp_path / "deliveries.db"
    deliveries = Deliveries(file, RetryPolicy(attempts=1))
    deliveries.add(
        [Delivery("compute", b"{}", {}, "chunk-7", "/chunks"), Delivery("message", b"12345678", {"table_id": "graph"})],
        NOW_S,
    )
    deliveries.retry([Failure(lease.id, "status 503") for lease in deliveries.lease(2, NOW_S)], NOW_S)
    listed = run("list", str(file))
    assert [line[1:] for line in listed] == [
        ["path=/chunks task=chunk-7", "2 bytes", "1 attempts", "status 503"],
        ["table_id=graph", "8 bytes", "1 attempts", "status 503"],
    ]
    assert run("replay", str(file), listed[0][0]) == [["1 dead letters will be delivered again"]]
    assert [lease.name for lease in deliveries.lease(5, 1e12)] == ["chunk-7"]
    assert run("replay", str(file), "no-such-id") == [["0 dead letters will be delivered again"]]
    assert run("replay", str(file)) == [["1 dead letters will be delivered again"]]
    assert [lease.kind for lease in deliveries.lease(5, 1e12)] == ["message"]
    deliveries.close()
