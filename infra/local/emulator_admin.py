"""Topics, subscriptions and queues in the emulators, as the deployment makes them in the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

ACK_DEADLINE_S = 600
ATTEMPTS_BEFORE_DEAD = 5
# The cloud's least pause is 10 s; nobody wants to wait that long in front of one machine.
LEAST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=60)


@dataclass(frozen=True)
class Topic:
    """A topic and its one subscription.

    Attributes:
      project: Google Cloud project.
      name: of the topic.
    """

    project: str
    name: str

    @property
    def path(self) -> str:
        """Full name of the topic."""
        return f"projects/{self.project}/topics/{self.name}"

    @property
    def subscription(self) -> str:
        """Full name of the topic's subscription."""
        return f"projects/{self.project}/subscriptions/{self.name}"


@dataclass(frozen=True)
class TaskQueueName:
    """A queue of Cloud Tasks, by project, location and name."""

    project: str
    location: str
    name: str

    @property
    def parent(self) -> str:
        """Full name of the location."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def path(self) -> str:
        """Full name of the queue."""
        return f"{self.parent}/queues/{self.name}"


def create_topics(endpoint: str, push_urls: Mapping[Topic, str], dead_letters: Topic) -> None:
    """Makes topics whose messages are pushed to an address each, and the topic of all their dead letters, to pull from.

    Each topic has one subscription without a filter, since the emulator does not know filters: it pushes everything,
    two messages of a subscription at a time. The retry policy that it has in the cloud is left out: together with one,
    the emulator loses messages instead of making dead letters of them. By itself it pauses for some 1.2 s.

    Args:
      endpoint: of the Pub/Sub emulator.
      push_urls: topics, and what gets a POST per message.
      dead_letters: gets the messages whose deliveries all failed.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if the emulator refuses it.
    """
    import grpc
    from google.pubsub_v1 import PublisherClient, SubscriberClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    with grpc.insecure_channel(endpoint) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        publisher.create_topic(name=dead_letters.path)
        subscriber.create_subscription(name=dead_letters.subscription, topic=dead_letters.path)
        for topic, push_url in push_urls.items():
            publisher.create_topic(name=topic.path)
            subscriber.create_subscription(
                request={
                    "name": topic.subscription,
                    "topic": topic.path,
                    "push_config": {"push_endpoint": push_url},
                    "ack_deadline_seconds": ACK_DEADLINE_S,
                    "dead_letter_policy": {
                        "dead_letter_topic": dead_letters.path,
                        "max_delivery_attempts": ATTEMPTS_BEFORE_DEAD,
                    },
                }
            )


def create_queue(
    endpoint: str, queue: TaskQueueName, dispatches: int, longest_pause: timedelta = LONGEST_PAUSE
) -> None:
    """Makes a queue.

    Args:
      endpoint: of the Cloud Tasks emulator.
      queue: its name.
      dispatches: tasks under way at a time.
      longest_pause: no task that failed waits longer for its next try.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if the emulator refuses it.
    """
    import grpc
    from google.cloud.tasks_v2 import CloudTasksClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    with grpc.insecure_channel(endpoint) as channel:
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        client.create_queue(
            request={
                "parent": queue.parent,
                "queue": {
                    "name": queue.path,
                    "rate_limits": {"max_concurrent_dispatches": dispatches},
                    "retry_config": {"min_backoff": LEAST_PAUSE, "max_backoff": longest_pause},
                },
            }
        )
