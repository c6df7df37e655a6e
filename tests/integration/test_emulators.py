"""Google's emulators as the tests and the local stack start them."""

from __future__ import annotations

import base64
import json
import queue
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.api_core.exceptions import AlreadyExists
from google.cloud import pubsub_v1, tasks_v2
from google.cloud.bigtable.data import BigtableDataClient, SetCell
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from werkzeug import Request, Response

from infra.local import emulators
from infra.local.emulators import Emulator, EmulatorMissingError
from infra.local.processes import ChildFailedError
from infra.standin.bigtable_dump import create_table
from shared.google.bigtable.address import TableAddress
from tests.support.graph.servers import serving

ROOT = Path(__file__).resolve().parents[2]
LOCATION = "projects/p/locations/l"


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def unused(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def web_server() -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """Address of an HTTP server, and the bodies that were sent to it."""
    bodies: queue.Queue[bytes] = queue.Queue()

    @Request.application
    def take(request: Request) -> Response:
        bodies.put(request.get_data())
        return Response(status=204)

    with serving(take) as address:
        yield f"{address}/", bodies


def tasks_client(emulator: Emulator) -> tasks_v2.CloudTasksClient:
    return tasks_v2.CloudTasksClient(
        transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(emulator.endpoint))
    )


def test_the_bigtable_emulator_keeps_rows(bigtable_environment: Emulator) -> None:
    address = TableAddress("project", "instance", unused("table"))
    create_table(address, {"0": None})
    with BigtableDataClient(project=address.project) as client:
        table = client.get_table(address.instance, address.table)
        table.mutate_row("key", SetCell("0", "column", b"value", timestamp_micros=1_000))
        row = table.read_row("key")
    assert row is not None
    assert [(cell.value, cell.timestamp_micros) for cell in row.get_cells()] == [(b"value", 1_000)]


def test_the_pubsub_emulator_pushes_messages(
    pubsub_environment: Emulator, web_server: tuple[str, queue.Queue[bytes]]
) -> None:
    url, bodies = web_server
    topic, subscription = f"projects/p/topics/{unused('topic')}", f"projects/p/subscriptions/{unused('subscription')}"
    with pubsub_v1.SubscriberClient() as subscriber:
        publisher = pubsub_v1.PublisherClient()
        publisher.create_topic(name=topic)
        subscriber.create_subscription(name=subscription, topic=topic, push_config={"push_endpoint": url})
        publisher.publish(topic, b"ids").result(timeout=20)
        publisher.transport.close()
        body = bodies.get(timeout=20)
        subscriber.delete_subscription(subscription=subscription)
    assert base64.b64decode(json.loads(body)["message"]["data"]) == b"ids"


def test_the_tasks_emulator_dispatches_a_task_and_takes_its_name_for_good(
    tasks_emulator: Emulator, web_server: tuple[str, queue.Queue[bytes]]
) -> None:
    url, bodies = web_server
    with tasks_client(tasks_emulator) as client:
        made = client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/{unused('queue')}"})
        task = {"name": f"{made.name}/tasks/chunk", "http_request": {"url": url, "body": b"task"}}
        client.create_task(parent=made.name, task=task)
        assert bodies.get(timeout=20) == b"task"
        with pytest.raises(AlreadyExists):
            client.create_task(parent=made.name, task=task)
        client.create_task(parent=made.name, task=task | {"name": f"{made.name}/tasks/another"})
        bodies.get(timeout=20)


def test_emulators_listen_on_loopback_only(tasks_emulator: Emulator, bigtable_emulator: Emulator) -> None:
    for emulator in (tasks_emulator, bigtable_emulator):
        port = int(emulator.endpoint.rpartition(":")[2])
        with (
            pytest.raises(OSError, match=r"refused|assign|unreachable"),
            socket.create_connection(("::1", port), timeout=5),
        ):
            pass


def test_an_emulator_is_gone_after_its_block(tmp_path: Path) -> None:
    with emulators.bigtable_emulator(tmp_path) as emulator:
        port = int(emulator.endpoint.rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port)).close()
    assert not is_listening(port)


def test_an_emulator_ends_with_the_process_that_started_it() -> None:
    script = (
        "from infra.local.emulators import bigtable_emulator\n"
        "with bigtable_emulator() as emulator:\n"
        "    print(emulator.endpoint, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rpartition(":")[2])
        assert is_listening(port)
        parent.send_signal(signal.SIGKILL)
    deadline_s = time.monotonic() + 20
    while is_listening(port) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not is_listening(port)


def test_a_missing_program_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLOUDSDK_ROOT", str(tmp_path))
    with pytest.raises(EmulatorMissingError, match="bigtable-emulator"), emulators.bigtable_emulator(tmp_path):
        pass
    with pytest.raises(EmulatorMissingError, match="pubsub-emulator"), emulators.pubsub_emulator(tmp_path):
        pass


def test_java_is_asked_for_where_only_java_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / "sdk" / "platform" / "pubsub-emulator" / "lib"
    library.mkdir(parents=True)
    (library / "cloud-pubsub-emulator-0.8.20-all.jar").touch()
    monkeypatch.setenv("CLOUDSDK_ROOT", str(tmp_path / "sdk"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(EmulatorMissingError, match="Java"), emulators.pubsub_emulator(tmp_path):
        pass


def test_an_emulator_that_does_not_start_shows_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "sdk" / "platform" / "bigtable-emulator" / "cbtemulator"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho no room for tables >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("CLOUDSDK_ROOT", str(tmp_path / "sdk"))
    with pytest.raises(ChildFailedError, match="no room for tables"), emulators.bigtable_emulator(tmp_path):
        pass
