"""The compute function as it runs: functions-framework in a process of its own, on loopback."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import requests

from shared.attributes import ATTRIBUTES
from shared.messages.cloud_events import PUBSUB_EVENT_TYPE
from shared.store.open import open_store
from shared.store.protocol import CacheStore, TableMeta
from shared.types import UInt64Array
from tests.support.data.recorded_rows import Row

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "fedcba9876543210fedcba9876543210"  # noqa: S105  # of nobody
NAMES = [attribute.name for attribute in ATTRIBUTES]


def rows_of(store: CacheStore, table_id: str, l2_ids: UInt64Array) -> dict[int, Row]:
    """The rows of those ids that have one, without empty cells."""
    found = store.read_cells(table_id, l2_ids, NAMES)
    return {
        l2_id: {name: found.columns[name][row] for name in NAMES if found.columns[name][row]}
        for row, l2_id in enumerate(found.l2_ids.tolist())
    }


class ComputeProcess:
    """A running compute function.

    Attributes:
      url: its address.
      store: the cache tables that it writes to.
      graph_id: the dataset.
      table_id: its cache table.
    """

    def __init__(self, folder: Path, graph_id: str, graph_url: str, port: int) -> None:
        self.url, self.graph_id, self.table_id = f"http://127.0.0.1:{port}", graph_id, f"l2cache_{graph_id}_v1"
        self.log_file = folder / "log"
        self.store: CacheStore = open_store(f"sqlite://{folder.resolve()}/cache.db")
        cv_path = f"graphene://{graph_url}/segmentation/table/{graph_id}"
        self.meta = TableMeta(graph_id, cv_path, datetime(2026, 6, 1, tzinfo=UTC))
        self.store.create_table(self.table_id, self.meta)
        self.without_table = "tableless"
        datasets = {graph_id: (cv_path, self.table_id), self.without_table: (cv_path, "l2cache_not_made")}
        (folder / "datasets.yaml").write_text(
            "".join(f"{name}: {{cv_path: '{path}', l2cache_id: {table}}}\n" for name, (path, table) in datasets.items())
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "L2CACHE_DATASETS": str(folder / "datasets.yaml"),
            "L2CACHE_STORE": f"sqlite://{folder.resolve()}/cache.db",
            "L2CACHE_BUS": f"sqlite://{folder.resolve()}/bus.db",
            "L2CACHE_QUEUE": f"sqlite://{folder.resolve()}/queue.db",
            "L2CACHE_GRAPH_TOKEN": TOKEN,
            "L2CACHE_GRAPH_TIMEOUT_S": "1",
            "L2CACHE_GRAPH_ATTEMPTS": "1",
            "L2CACHE_RETRY_AFTER_S": "7",
            "L2CACHE_LOG_LEVEL": "DEBUG",
        }

    def push(
        self, attributes: Mapping[str, str], data: bytes, mode: str = "plain", message_id: str = "15"
    ) -> requests.Response:
        """Delivers a message as a push subscription (`plain`) or Eventarc (`binary`, `structured`) does."""
        message: dict[str, object] = {"attributes": dict(attributes), "messageId": message_id}
        if data:
            message["data"] = base64.b64encode(data).decode()
        body: dict[str, object] = {"message": message, "subscription": "projects/p/subscriptions/s"}
        event = {"specversion": "1.0", "type": PUBSUB_EVENT_TYPE, "id": message_id, "source": "//pubsub/topics/t"}
        headers = {"Content-Type": "application/json"}
        if mode == "binary":
            headers |= {f"ce-{name}": value for name, value in event.items()}
        elif mode == "structured":
            headers = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
            body = {**event, "datacontenttype": "application/json", "data": body}
        return requests.post(f"{self.url}/", data=json.dumps(body), headers=headers, timeout=60)

    def miss(self, *l2_ids: int, mode: str = "plain") -> requests.Response:
        """Delivers a miss of these ids."""
        attributes = {"table_id": self.graph_id, "l2_cache_id": self.table_id}
        return self.push(attributes, np.array(l2_ids, dtype="<u8").tobytes(), mode)

    def rows(self, *l2_ids: int) -> dict[int, Row]:
        """As `rows_of`, from the function's table."""
        return rows_of(self.store, self.table_id, np.array(l2_ids, dtype=np.uint64))

    def records(self) -> list[dict[str, object]]:
        """Everything that the function has logged in its own form."""
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"severity"')]


@contextmanager
def running(folder: Path, graph_id: str, graph_url: str) -> Iterator[ComputeProcess]:
    """Runs the function over a graph server until the block ends."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    compute = ComputeProcess(folder, graph_id, graph_url, port)
    source = str(ROOT / "functions" / "compute" / "main.py")
    command = [sys.executable, "-m", "functions_framework", "--target", "compute", "--source", source]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with compute.log_file.open("w") as log:
        process = subprocess.Popen(command, env=compute.environment, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_until_it_answers(compute, process)
            yield compute
        finally:
            process.terminate()
            process.wait(timeout=30)
            compute.store.close()


def _wait_until_it_answers(compute: ComputeProcess, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            requests.get(f"{compute.url}/healthz", timeout=5).raise_for_status()
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the compute function does not answer: {compute.log_file.read_text()[-3000:]}")
