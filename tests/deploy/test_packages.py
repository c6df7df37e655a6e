"""Each package in a clean virtual environment, run from its own folder alone: it answers, computes, plans."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import requests

from infra.local.posting import envelope
from infra.packaging.lock import FUNCTIONS, pins
from infra.packaging.package import package
from infra.standin.graph.app import create_app
from infra.standin.graph.server import GraphFiles, load
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import MESSAGE_KINDS
from tests.support.graph.servers import serving
from tests.support.processes.packaged import PackagedFunction, release, unpack

WORLD = WorldParameters(size_voxels=(60, 52, 44), chunk_size_voxels=(24, 24, 16), voxel_offset=(10, 20, 30))
HEAVY = (
    "arro3",
    "pyarrow",
    "cloudvolume",
    "sklearn",
    "scipy",
    "numba",
    "google.cloud.bigtable",
    "google.cloud.pubsub",
    "google.cloud.tasks",
)
METRICS = Path(__file__).resolve().parents[2] / "infra" / "terraform" / "metrics.tf"
AWAY = "away"
"""A dataset whose graph server does not answer."""
BESIDE_THE_MIDDLE = (2, 0, 1)
"""A chunk that a `test` ingest, of 8 chunks that touch in a corner, does not reach."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CACHE_TABLE = f"l2cache_{TABLE}_v1"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, PackagedFunction]]:
    folder = tmp_path_factory.mktemp("dist")
    package(folder)
    places = {name: tmp_path_factory.mktemp("unpacked") / name for name in FUNCTIONS}
    yield {name: unpack(folder / f"{name}.zip", place) for name, place in places.items()}
    for place in places.values():
        release(place)


class Deployment:
    """The three packages running over one made brain.

    Attributes:
      urls: of the functions.
      l2_ids: of a chunk that was not ingested.
    """

    def __init__(self, folder: Path, urls: dict[str, str], l2_ids: list[int]) -> None:
        self.folder, self.urls, self.l2_ids = folder, urls, l2_ids

    def look_up(self, *l2_ids: int) -> dict[str, dict[str, object]]:
        url = f"{self.urls['lookup']}/l2cache/api/v1/table/{TABLE}/attributes"
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        answer = requests.post(url, json={"l2_ids": list(l2_ids)}, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, dict[str, object]] = answer.json()
        return found

    def deliver(self) -> int:
        """Delivers all messages and tasks that wait, and those that come of them; returns how many there were."""
        deliveries = Deliveries(self.folder / "deliveries.db")
        count = 0
        while leases := deliveries.lease(100, time.time()):
            for lease in leases:
                body, headers = envelope(lease) if lease.kind in MESSAGE_KINDS else (lease.body, {})
                url = self.urls["ingest" if lease.kind == "ingest" else "compute"] + lease.path
                assert requests.post(url, data=body, headers=headers, timeout=120).ok
                deliveries.acknowledge([lease.id])
                count += 1
        deliveries.close()
        return count

    def records(self, name: str) -> list[dict[str, object]]:
        """What a function has logged in its own form."""
        lines = (self.folder / name / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"severity"')]


def environment_of(folder: Path, graph_url: str) -> dict[str, str]:
    cv_path = f"graphene://{graph_url}/segmentation/table/{TABLE}"
    away = f"graphene://http://127.0.0.1:9/segmentation/table/{AWAY}"
    datasets = ((TABLE, cv_path, CACHE_TABLE), (AWAY, away, AWAY))
    (folder / "datasets.yaml").write_text(
        "".join(f"{name}: {{cv_path: '{path}', l2cache_id: {table}}}\n" for name, path, table in datasets)
    )
    return {
        "HOME": str(folder),
        "AUTH_DISABLED": "true",
        "GOOGLE_CLOUD_PROJECT": "a-project",
        "L2CACHE_DATASETS": str(folder / "datasets.yaml"),
        "L2CACHE_STORE": f"sqlite://{folder}/cache.db",
        "L2CACHE_BUS": f"sqlite://{folder}/deliveries.db",
        "L2CACHE_QUEUE": f"sqlite://{folder}/deliveries.db",
        "L2CACHE_DEAD_LETTERS": f"sqlite://{folder}/dead.db",
        "L2CACHE_DELIVERY_ATTEMPTS": "2",
        "L2CACHE_GRAPH_ATTEMPTS": "1",
    }


@pytest.fixture(scope="module")
def deployment(packages: dict[str, PackagedFunction], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment").resolve()
    build(folder / "world", WORLD)
    table, graph, editor = load(GraphFiles.of_world(folder / "world"))
    nodes = np.array(list(graph.rows), np.uint64)
    by_chunk = graph.geometry.group_by_chunk(nodes[graph.geometry.can_exist(nodes)])
    ids = next(ids for coordinate, ids in by_chunk if coordinate == BESIDE_THE_MIDDLE)
    with ExitStack() as running:
        graph_url = running.enter_context(serving(create_app(table, graph, editor)))
        environment = environment_of(folder, graph_url)
        urls = {}
        for name, function in packages.items():
            (folder / name).mkdir()
            urls[name] = running.enter_context(function.serving(environment, folder / name))
        # the ingest makes the cache table
        document = {"dataset": TABLE, "test": True}
        started = requests.post(f"{urls['ingest']}/start", json={**document, "create": True}, timeout=60)
        assert started.status_code == 200, started.text
        running_system = Deployment(folder, urls, ids.tolist())
        running_system.deliver()
        yield running_system


def test_the_packaged_ingest_plans_and_runs(deployment: Deployment) -> None:
    planned = requests.post(f"{deployment.urls['ingest']}/plan", json={"dataset": TABLE}, timeout=60)
    assert planned.status_code == 200, planned.text
    status = requests.get(f"{deployment.urls['ingest']}/status", {"dataset": TABLE}, timeout=60).json()
    assert (status["total_chunks"], status["completed_chunks"], status["finished"]) == (8, 8, True)


def test_the_packaged_compute_handles_an_event_and_the_packaged_look_up_answers(deployment: Deployment) -> None:
    wanted = deployment.l2_ids[:1]
    assert deployment.look_up(*wanted) == {str(l2_id): {} for l2_id in wanted}
    assert deployment.deliver() >= 1
    found = deployment.look_up(*wanted)
    assert all({"size_nm3", "area_nm2", "rep_coord_nm"} <= set(found[str(l2_id)]) for l2_id in wanted)


def test_the_packaged_look_up_has_what_tables_need(deployment: Deployment) -> None:
    url = f"{deployment.urls['lookup']}/l2cache/api/v1/table/{TABLE}/attributes?format=arrow&update_cache=false"
    answer = requests.post(url, json={"l2_ids": deployment.l2_ids}, headers={"Accept-Encoding": "zstd"}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert pa.ipc.open_stream(answer.content).read_all()["l2_id"].to_pylist() == sorted(deployment.l2_ids)


def test_the_packaged_look_up_serves_its_page(deployment: Deployment) -> None:
    page = requests.get(f"{deployment.urls['lookup']}/", headers={"Accept": "text/html"}, timeout=60)
    assert page.url == f"{deployment.urls['lookup']}/l2cache/"
    files = re.findall(r'(?:src|href)="(assets/[^"]+)"', page.text)
    assert len(files) >= 4
    assert all(requests.get(page.url + file, timeout=60).ok for file in files)


def test_at_its_last_delivery_a_message_that_fails_is_kept_with_its_reason(deployment: Deployment) -> None:
    message = {"attributes": {"table_id": AWAY, "l2_cache_id": AWAY}, "data": "AQAAAAAAAAI=", "messageId": "7"}
    statuses = []
    for attempt in (1, 2):
        body = {"message": message, "subscription": "s", "deliveryAttempt": attempt}
        statuses.append(requests.post(deployment.urls["compute"], json=body, timeout=60).status_code)
    assert statuses == [503, 204]
    deliveries = Deliveries(deployment.folder / "dead.db")
    (letter,) = deliveries.dead_letters()
    deliveries.close()
    assert letter.lease.body == bytes([1, 0, 0, 0, 0, 0, 0, 2])
    assert letter.lease.attributes["table_id"] == letter.lease.attributes["l2_cache_id"] == AWAY
    assert letter.lease.attempt == 2
    assert "graph server" in letter.reason


def test_one_trace_joins_the_look_up_and_the_computation_that_it_set_off(deployment: Deployment) -> None:
    wanted = deployment.l2_ids[1:2]
    deployment.look_up(*wanted)
    assert deployment.deliver() >= 1
    named = f"projects/a-project/traces/{TRACE}"
    for name, messages in (("lookup", {"request"}), ("compute", {"chunk computed", "message handled"})):
        traced = {r["message"] for r in deployment.records(name) if r.get("logging.googleapis.com/trace") == named}
        assert messages <= traced


def test_the_metrics_read_fields_that_the_records_have(deployment: Deployment) -> None:
    """Every record and field that infra/terraform/metrics.tf names is one that the functions write."""
    deployment.look_up(*deployment.l2_ids)
    deployment.deliver()
    requests.post(deployment.urls["compute"], json={"message": {"attributes": {"table_id": TABLE}}}, timeout=60)
    records = [record for name in FUNCTIONS for record in deployment.records(name)]

    metrics = METRICS.read_text()
    local = dict(re.findall(r'^  (\w+) += "([^\n]*)"$', metrics.replace('\\"', "'"), re.M))
    named = 0
    for text in re.findall(r"\{ description = [^\n]*\}", metrics.replace('\\"', "'")):
        (field,) = re.findall(r'field = "(\w+)"', text)
        (source,) = re.findall(r"filter = (?:local\.(\w+)|\")", text)
        condition = local[source] if source else text
        (message,) = re.findall(r"jsonPayload\.message='([^']+)'", condition)
        assert any(record["message"] == message and isinstance(record.get(field), int | float) for record in records), (
            f"no record {message!r} has a number {field!r}"
        )
        named += 1
    assert named > 15

    labels = re.findall(r"filter +=([^\n]*)\n +labels += \{([^}]*)\}", metrics.replace('\\"', "'"))
    assert len(labels) == 4
    for condition, fields in labels:
        source = re.search(r"local\.(look_ups|chunks|blocks)$", condition.strip())
        found = re.findall(r"jsonPayload\.message='([^']+)'", local[source[1]] if source else condition)
        matching = [r for r in records if r["message"] in found or (not found and r["severity"] == "ERROR")]
        for field in re.findall(r'"(\w+)"', fields):
            assert any(field in record for record in matching), f"{found or 'errors'} have no field {field!r}"


def test_the_compute_package_brings_its_kernels_compiled(packages: dict[str, PackagedFunction], tmp_path: Path) -> None:
    # The package's folder cannot be written, as on the platform: what is not in it would be compiled into HOME.
    program = (
        "import numpy as np\n"
        "from shared.features import supervoxel_features, supervoxel_runs\n"
        "voxels = np.random.default_rng(0).integers(0, 9, (40, 30, 20)).astype(np.uint64)\n"
        "runs = supervoxel_runs(np.asfortranarray(voxels))\n"
        "ids = runs.labels()\n"
        "for nm in (16, 16, 40), (8.5, 8.5, 33.3):\n"
        "    print(len(supervoxel_features(runs, ids, ids, np.array(nm, float))))\n"
    )
    printed = packages["compute"].run(program, {"HOME": str(tmp_path)}, tmp_path)
    assert printed.split() == ["8", "8"]
    assert not list(tmp_path.rglob("*.nb?"))


@pytest.mark.parametrize("name", ["lookup", "ingest"])
def test_light_functions_do_not_import_what_is_heavy(name: str, tmp_path: Path) -> None:
    # Here, where all of it is installed.
    root = Path(__file__).resolve().parents[2]
    program = "import sys, json; sys.path.insert(0, sys.argv[1]); import main; print(json.dumps(sorted(sys.modules)))"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(root),
        **environment_of(tmp_path.resolve(), "http://127.0.0.1:9"),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(root / "functions" / name)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stdout)
    assert [module for module in loaded if module.startswith((*HEAVY, "grpc"))] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_has_pinned_requirements_and_nothing_of_the_others(
    packages: dict[str, PackagedFunction], name: str
) -> None:
    folder = packages[name].folder
    assert len(pins((folder / "requirements.txt").read_text())) > 20
    assert sorted(path.name for path in folder.iterdir()) == ["main.py", "requirements.txt", "shared"]
