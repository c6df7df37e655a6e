"""The Cloud Tasks queue keeps the contract of queues, on an emulator."""

from __future__ import annotations

import queue as queues
import uuid
from collections.abc import Iterator
from urllib.parse import urlencode

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from werkzeug import Request, Response

from infra.local.emulators import Emulator
from infra.local.free_port import free_port
from shared.errors import ConfigurationError, StorageUnavailableError
from shared.tasks.cloudtasks import CloudTasksAddress, CloudTasksQueue, cloud_name
from shared.tasks.open import open_queue
from shared.tasks.protocol import TaskQueue
from tests.contract.task_queue_contract import Posted, TaskQueueContract, task
from tests.support.graph.servers import serving

LOCATION = "projects/l2cache-test/locations/l"
PATIENCE_S = 30.0


@pytest.fixture
def client(tasks_environment: Emulator) -> Iterator[tasks_v2.CloudTasksClient]:
    channel = grpc.insecure_channel(tasks_environment.endpoint)
    with tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel)) as client:
        yield client


@pytest.fixture
def queue_name(client: tasks_v2.CloudTasksClient) -> str:
    """The queue's own name; it is `LOCATION/queues/NAME`."""
    name = f"queue-{uuid.uuid4().hex[:12]}"
    client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/{name}"})
    return name


def address_of(queue_name: str, base: str = "http://127.0.0.1:9", **options: str) -> str:
    urls = {"compute": f"{base}/compute", "ingest": f"{base}/ingest/"}
    return f"cloudtasks://l2cache-test/l/{queue_name}?{urlencode(urls | options)}"


@pytest.fixture
def requests() -> Iterator[tuple[str, queues.Queue[tuple[str, str, bytes]]]]:
    """Base address of an HTTP server, and (path, content type, body) of what was posted to it."""
    received: queues.Queue[tuple[str, str, bytes]] = queues.Queue()

    @Request.application
    def take(request: Request) -> Response:
        received.put((request.path, request.headers["Content-Type"], request.get_data()))
        return Response(status=204)

    with serving(take) as address:
        yield address, received


class TestCloudTasksQueue(TaskQueueContract):
    @pytest.fixture
    def queue(self, queue_name: str, requests: tuple[str, queues.Queue[tuple[str, str, bytes]]]) -> Iterator[TaskQueue]:
        queue = open_queue(address_of(queue_name, requests[0]))
        yield queue
        queue.close()

    @pytest.fixture
    def posted(self, requests: tuple[str, queues.Queue[tuple[str, str, bytes]]]) -> Posted:
        def posted(count: int) -> list[tuple[str, str, bytes]]:
            tasks = []
            for _ in range(count):
                path, content_type, body = requests[1].get(timeout=PATIENCE_S)
                assert content_type == "application/json"
                _, target, rest = path.split("/", 2)
                tasks.append((target, f"/{rest}", body))
            return tasks

        return posted


def test_a_task_carries_its_token_and_deadline(client: tasks_v2.CloudTasksClient, queue_name: str) -> None:
    client.pause_queue(name=f"{LOCATION}/queues/{queue_name}")
    queue = open_queue(
        address_of(queue_name, service_account="tasks@example.org", deadline_s="900", ingest_audience="https://ingest")
    )
    queue.enqueue([task("to-compute", b"1", "/chunks"), task("to-ingest", b"2", "/expand", "ingest")])
    queue.close()
    view = tasks_v2.Task.View.FULL
    parent = f"{LOCATION}/queues/{queue_name}"
    made = {
        item.http_request.body: item for item in client.list_tasks(request={"parent": parent, "response_view": view})
    }
    first, second = made[b"1"].http_request, made[b"2"].http_request
    assert (first.url, second.url) == ("http://127.0.0.1:9/compute/chunks", "http://127.0.0.1:9/ingest/expand")
    assert first.http_method == second.http_method == tasks_v2.HttpMethod.POST
    assert first.oidc_token.service_account_email == "tasks@example.org"
    assert first.oidc_token.audience == "http://127.0.0.1:9/compute"
    assert second.oidc_token.audience == "https://ingest"
    assert made[b"1"].dispatch_deadline.total_seconds() == 900
    assert made[b"1"].name == f"{parent}/tasks/{cloud_name('to-compute')}"


def test_names_are_spread_and_stay_apart() -> None:
    names = [f"run-{number:06d}" for number in range(1000)] + ["a" * 500, "a" * 499 + "b"]
    cloud_names = [cloud_name(name) for name in names]
    assert len(set(cloud_names)) == len(names)
    assert len({name[:2] for name in cloud_names}) > 200
    assert all(len(name) <= 500 for name in cloud_names)
    assert cloud_name("run-1").endswith("-run-1")


def test_a_queue_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    queue = CloudTasksQueue(CloudTasksAddress.parse(address_of("queue")), timeout_s=0.5)
    with pytest.raises(StorageUnavailableError):
        queue.enqueue([task(), task()])
    queue.close()


def test_an_address_gives_everything_a_task_needs() -> None:
    address = CloudTasksAddress.parse(
        "cloudtasks://project/us-east1/chunks?compute=https://compute.run.app&ingest=https://ingest.run.app/"
        "&service_account=tasks@project.iam.gserviceaccount.com"
    )
    assert address.queue == "projects/project/locations/us-east1/queues/chunks"
    assert address.urls == {"compute": "https://compute.run.app", "ingest": "https://ingest.run.app"}
    assert address.audiences == address.urls
    assert set(address.service_accounts.values()) == {"tasks@project.iam.gserviceaccount.com"}
    assert address.deadline_s == 600


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("cloudtasks://project/location", "QUEUE"),
        ("cloudtasks://project/location/queue", "compute=URL"),
        ("cloudtasks://project/location/queue/more?compute=http://a", "QUEUE"),
        ("cloudtasks://project/location/queue?ingest=http://b", "compute"),
        ("cloudtasks://project/location/queue?compute=http://a", "ingest"),
        ("cloudtasks://project/location/queue?compute=a&ingest=http://b", "compute"),
        (address_of("queue", colour="red"), "colour"),
        (address_of("queue", deadline_s="10"), "15 to 1800"),
        (address_of("queue", deadline_s="soon"), "15 to 1800"),
    ],
)
def test_an_address_that_lacks_something_is_refused_by_name(address: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        open_queue(address)


def test_each_function_may_have_a_sender_of_its_own() -> None:
    address = CloudTasksAddress.parse(address_of("queue", compute_service_account="c@p", service_account="both@p"))
    assert address.service_accounts == {"compute": "c@p", "ingest": "both@p"}
