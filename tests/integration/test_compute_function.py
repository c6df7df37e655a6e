"""The compute function in a process of its own, against the stand-in graph server, well and misbehaving."""

from __future__ import annotations

import base64
import json
import pickle
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from werkzeug import Request, Response

from infra.standin.graph.app import create_app
from infra.standin.graph.server import GraphFiles, load
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from shared.compute.service import ComputeService
from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.geometry.grid import Box
from shared.graph.registry import Graphs
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from shared.store.open import open_store
from shared.store.protocol import TableMeta
from shared.types import Triple
from shared.volume.cloudvolume import Volumes
from tests.support.data.recorded_rows import assert_same_row, recorded_rows
from tests.support.graph.servers import DATA, Flaky, broken, needs_data, real_graph, serving
from tests.support.processes.compute import TOKEN, ComputeProcess, rows_of, running

WORLD = WorldParameters(size_voxels=(60, 52, 44), chunk_size_voxels=(24, 24, 16), voxel_offset=(10, 20, 30))
SETTLED = datetime(2026, 6, 1, tzinfo=UTC)


class Rig:
    """A compute function over a graph server that can be made to misbehave."""

    def __init__(self, compute: ComputeProcess, graph: Flaky, l2_ids: dict[Triple, list[int]]) -> None:
        self.compute, self.graph, self.l2_ids = compute, graph, l2_ids
        self._unused = iter([chunk for chunk, ids in l2_ids.items() if len(ids) >= 2])

    def fresh(self, chunks: int = 1) -> list[int]:
        """L2 ids of chunks that no test has asked for yet."""
        return [l2_id for _ in range(chunks) for l2_id in self.l2_ids[next(self._unused)]]


@pytest.fixture(scope="module")
def rig_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("world")
    build(folder, WORLD)
    table, graph, editor = load(GraphFiles.of_world(folder))
    geometry = graph.geometry
    l2_ids = np.array([node for node in graph.rows if geometry.can_exist(np.array([node], np.uint64))[0]], np.uint64)
    flaky = Flaky(create_app(table, graph, editor))
    with serving(flaky) as url, running(tmp_path_factory.mktemp("compute"), TABLE, url) as compute:
        yield Rig(compute, flaky, {chunk: ids.tolist() for chunk, ids in geometry.group_by_chunk(l2_ids)})


@pytest.fixture
def rig(rig_of_all: Rig) -> Iterator[Rig]:
    rig_of_all.graph.requests.clear()
    yield rig_of_all
    rig_of_all.graph.plan = lambda _: None


def edit(l2_ids: list[int]) -> bytes:
    roots: list[int] = []
    return pickle.dumps({"operation_id": 1, "new_lvl2_ids": l2_ids, "new_root_ids": roots, "old_root_ids": roots})


@pytest.mark.parametrize("mode", ["plain", "binary", "structured"])
def test_an_edit_is_computed_in_whatever_envelope_it_comes(rig: Rig, mode: str) -> None:
    wanted = rig.fresh()
    answer = rig.compute.push({"table_id": TABLE, "user_id": "0"}, edit(wanted), mode)
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(rig.compute.rows(*wanted)) == set(wanted)


@pytest.mark.parametrize("count", ["1" * 5000, "-1", "\xb2", "many"])
def test_a_count_of_deliveries_that_is_none_fails_no_task(rig: Rig, count: str) -> None:
    headers = {"X-CloudTasks-TaskRetryCount": count.encode("latin-1")}
    answer = requests.post(f"{rig.compute.url}/chunks", data=b"no task", headers=headers, timeout=60)
    assert answer.status_code == 204


@pytest.mark.parametrize("junk", ["\r\n", "00-\nX: y", "\x00", "ü" * 9000, "00-" + "1" * 32 + "-" + "2" * 16 + "-01\n"])
def test_no_trace_that_a_message_names_fails_it(rig: Rig, junk: str) -> None:
    answer = rig.compute.push({"table_id": "another_graph", "googclient_traceparent": junk}, edit([1]))
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_miss_without_data_is_acknowledged(rig: Rig) -> None:
    assert rig.compute.miss().status_code == 204
    assert rig.graph.requests == []


@pytest.mark.parametrize(
    "misbehave",
    [broken, lambda: Response(status=500), lambda: Response(status=503), lambda: Response("<html>"), lambda: None],
    ids=["breaks connections", "500", "503", "nonsense", "too slow"],
)
def test_nothing_is_lost_to_a_graph_server_that_misbehaves(rig: Rig, misbehave: Any) -> None:
    wanted = rig.fresh(chunks=2)
    chance = random.Random(1)

    def plan(request: Request) -> Any:
        if chance.random() < 1 / 3:
            return None
        if (answer := misbehave()) is None:
            time.sleep(1.2)
        return answer

    rig.graph.plan = plan
    statuses = []
    while not statuses or statuses[-1] == 503:
        answer = rig.compute.miss(*wanted)
        statuses.append(answer.status_code)
        assert answer.status_code == 204 or answer.headers["Retry-After"] == "7"
        assert len(statuses) < 60
    assert statuses[0] == 503
    assert statuses[-1] == 204
    assert set(rig.compute.rows(*wanted)) == set(wanted)


def test_a_graph_server_that_refuses_the_token_loses_no_message(rig: Rig) -> None:
    wanted = rig.fresh()
    rig.graph.plan = lambda _: Response(status=401)
    assert rig.compute.miss(*wanted).status_code == 503
    rig.graph.plan = lambda _: None
    assert rig.compute.miss(*wanted).status_code == 204
    assert set(rig.compute.rows(*wanted)) == set(wanted)


def test_what_was_computed_before_a_failure_stays_and_is_not_computed_again(rig: Rig) -> None:
    first, second = rig.fresh(), rig.fresh()

    def fails_for_the_second(request: Request) -> Response | None:
        body = request.get_data() + request.path.encode()
        return Response(status=503) if any(str(l2_id).encode() in body for l2_id in second) else None

    rig.graph.plan = fails_for_the_second
    assert rig.compute.miss(*first, *second).status_code == 503
    assert set(rig.compute.rows(*first, *second)) == set(first)
    rig.graph.plan = lambda _: None
    rig.graph.requests.clear()
    assert rig.compute.miss(*first, *second).status_code == 204
    assert set(rig.compute.rows(*first, *second)) == {*first, *second}
    assert len(rig.graph.requests) == 1


@pytest.mark.parametrize(
    ("attributes", "data"),
    [
        ({"table_id": TABLE}, b"no pickle"),
        ({"table_id": TABLE}, pickle.dumps({"new_lvl2_ids": print})),
        ({"table_id": TABLE, "l2_cache_id": "l2cache_demo_v1"}, b"1234567"),
        ({"table_id": TABLE, "l2_cache_id": "l2cache_demo_v1"}, (1 << 56).to_bytes(8, "little")),
        ({"table_id": "tableless"}, edit([144115188075855873])),
        ({}, b""),
    ],
    ids=["garbage", "code", "half an id", "a supervoxel", "no table", "no dataset"],
)
def test_what_can_never_succeed_is_acknowledged_and_counted(rig: Rig, attributes: dict[str, str], data: bytes) -> None:
    before = requests.get(f"{rig.compute.url}/health", timeout=5).json()["messages"]
    assert rig.compute.push(attributes, data, message_id="never").status_code == 204
    after = requests.get(f"{rig.compute.url}/health", timeout=5).json()["messages"]
    assert after == {**before, "failed": before["failed"] + 1}
    record = [record for record in rig.compute.records() if record.get("message_id") == "never"][-1]
    assert record["severity"] == "ERROR"
    assert record["reason"]


def test_a_foreign_datasets_message_is_acknowledged_whatever_is_in_it(rig: Rig) -> None:
    assert rig.compute.push({"table_id": "elsewhere"}, b"whatever").status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[1]", b'{"message": 7}', b'{"message": {"data": "%%%"}}', b"x" * 20_000_000),
        b'{"message": {"attributes": {"table_id": "\\ud800"}, "data": ""}}',
    ],
)
def test_a_body_that_is_no_delivery_is_acknowledged(rig: Rig, body: bytes) -> None:
    answer = requests.post(f"{rig.compute.url}/", data=body, headers={"Content-Type": "application/json"}, timeout=30)
    assert answer.status_code == 204


@pytest.mark.parametrize("path", ["/tasks", "/chunks/", "/v2/chunks"])
@pytest.mark.parametrize("body", [b"{}", b"no JSON", b'{"run": {}, "block": [[0, 0, 0], [1, 1, 1]]}'])
def test_a_task_at_a_path_of_another_version_is_left_to_the_queue(rig: Rig, path: str, body: bytes) -> None:
    assert requests.post(f"{rig.compute.url}{path}", data=body, timeout=30).status_code == 404


def test_whatever_the_queue_sends_to_an_unknown_path_is_left_to_it(rig: Rig) -> None:
    delivery = json.dumps({"message": {"attributes": {"table_id": "elsewhere"}}})
    headers = {"X-CloudTasks-TaskName": "of-another-version"}
    assert requests.post(f"{rig.compute.url}/any/path", data=delivery, timeout=30).status_code == 204
    assert requests.post(f"{rig.compute.url}/any/path", data=delivery, headers=headers, timeout=30).status_code == 404


def test_each_retry_leaves_one_record_below_an_error(rig: Rig) -> None:
    rig.graph.plan = lambda _: Response(status=503)
    block = Box((2, 1, 1), (3, 2, 2))
    run = Run(TABLE, rig.compute.table_id, SETTLED, block, 64, 0.0)
    task = BlockTask(run, block).to_task()
    wanted = rig.fresh()
    before = len(rig.compute.records())
    assert rig.compute.miss(*wanted).status_code == 503
    assert requests.post(f"{rig.compute.url}{task.path}", data=task.body, timeout=60).status_code == 503
    # beside them, each request that the graph server refuses is one of the graph's own
    records = [record for record in rig.compute.records()[before:] if record["logger"] != "l2cache.graph"]
    message, chunk_task = records
    assert (message["severity"], message["message"]) == ("WARNING", "message is to be delivered again")
    assert message["reason"] == "the graph server answered with status 503"
    assert (chunk_task["severity"], chunk_task["message"]) == ("WARNING", "chunk task is to be delivered again")
    assert (chunk_task["error"], chunk_task["attempt"]) == ("WorthRetryingError", 1)


def test_other_methods_are_refused(rig: Rig) -> None:
    assert requests.get(f"{rig.compute.url}/", timeout=5).status_code == 405
    assert requests.post(f"{rig.compute.url}/health", timeout=5).status_code in (404, 405)


def test_a_chunk_task_computes_its_block(rig: Rig, tmp_path: Path) -> None:
    block = Box((0, 0, 0), (2, 1, 1))
    run = Run(TABLE, rig.compute.table_id, SETTLED, block, 64, 0.0)
    task = BlockTask(run, block).to_task()
    answer = requests.post(f"{rig.compute.url}{task.path}", data=task.body, timeout=60)
    assert answer.status_code == 200
    wanted = [l2_id for chunk, ids in rig.l2_ids.items() if chunk in [(0, 0, 0), (1, 0, 0)] for l2_id in ids]
    assert set(rig.compute.rows(*wanted)) == set(wanted)
    assert answer.json()["nodes"] == len(wanted)


def test_a_chunk_task_that_finds_nothing_working_is_delivered_again(rig: Rig) -> None:
    block = Box((2, 0, 0), (3, 1, 1))
    run = Run(TABLE, rig.compute.table_id, SETTLED, block, 64, 0.0)
    rig.graph.plan = lambda _: Response(status=503)
    task = BlockTask(run, block).to_task()
    answer = requests.post(f"{rig.compute.url}{task.path}", data=task.body, timeout=60)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "7"


def test_a_task_that_is_none_is_acknowledged(rig: Rig) -> None:
    assert requests.post(f"{rig.compute.url}/chunks", data=b"{}", timeout=5).status_code == 204


def test_a_trace_is_passed_on_to_the_log(rig: Rig) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    attributes = {"table_id": "elsewhere", "googclient_traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    rig.compute.push(attributes, b"", message_id="traced")
    records = [record for record in rig.compute.records() if record.get("message_id") == "traced"]
    assert [record["trace"] for record in records] == [trace]


def test_the_token_goes_to_the_graph_server_and_into_no_log(rig: Rig) -> None:
    assert rig.compute.miss(*rig.fresh()).status_code == 204
    assert {request.headers["Authorization"] for request in rig.graph.requests} == {f"Bearer {TOKEN}"}
    log = rig.compute.log_file.read_text()
    assert "chunk computed" in log
    assert TOKEN not in log


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComputeProcess]:
    with (
        serving(real_graph("after_merge")) as url,
        running(tmp_path_factory.mktemp("real"), "rig_graph", url) as compute,
    ):
        yield compute


@needs_data
def test_the_recorded_edit_gives_the_seven_rows_that_were_recorded(real: ComputeProcess) -> None:
    (message,) = json.loads((DATA / "messages" / "edit_merge.json").read_text())
    answer = real.push(message["attributes"], base64.b64decode(message["data_base64"]), "binary")
    assert answer.status_code == 204
    wanted = message["data_unpickled"]["new_lvl2_ids"]
    rows, recorded = real.rows(*wanted), recorded_rows(DATA / "tables" / "cache_after_merge.ndjson.gz")
    assert len(rows) == 7
    for l2_id in wanted:
        assert_same_row(rows[l2_id], recorded[l2_id])


@needs_data
def test_superseded_unknown_and_impossible_ids_are_treated_as_recorded(real: ComputeProcess) -> None:
    cases = json.loads((DATA / "update_edge_cases.json").read_text())
    ids = {name: case["id"] for name, case in cases.items()}
    assert real.miss(*ids.values()).status_code == 204
    rows = real.rows(*ids.values())
    # PCGL2Cache writes a row for an id outside the volume; here it is refused.
    expected = {name for name, case in cases.items() if case["raw_row"]} - {"out_of_bounds_chunk(9,9,9)"}
    assert set(rows) == {ids[name] for name in expected}
    for name in expected:
        recorded = {key: bytes.fromhex(values[0]) for key, values in cases[name]["raw_row"].items()}
        assert_same_row(rows[ids[name]], {key: value for key, value in recorded.items() if value})


@needs_data
def test_the_recorded_misses_leave_the_recorded_rows(real: ComputeProcess) -> None:
    recorded = recorded_rows(DATA / "tables" / "cache_after_merge.ndjson.gz")
    asked = set()
    for message in json.loads((DATA / "messages" / "miss.json").read_text()):
        data = base64.b64decode(message["data_base64"])
        assert real.push(message["attributes"], data).status_code == 204
        asked.update(np.frombuffer(data, dtype="<u8").tolist())
    for l2_id, row in real.rows(*asked).items():
        if l2_id in recorded:
            assert_same_row(row, recorded[l2_id])


@needs_data
def test_nodes_that_superseded_each_other_are_right_in_one_message(tmp_path: Path) -> None:
    needed = {f"L2CACHE_{name}": "unused" for name in ("DATASETS", "STORE", "BUS", "QUEUE")}
    settings = Settings.from_environment({**needed, "L2CACHE_GRAPH_TOKEN": TOKEN})
    recorded = recorded_rows(DATA / "tables" / "cache_after_merge.ndjson.gz")
    (message,) = json.loads((DATA / "messages" / "edit_merge.json").read_text())
    with serving(real_graph("after_merge")) as url:
        graphs = Graphs(settings)
        dataset = Dataset("rig_graph", f"graphene://{url}/segmentation/table/rig_graph", "cache")
        store, graph = open_store(f"sqlite://{tmp_path}/cache.db"), graphs.get(dataset)
        store.create_table("cache", TableMeta("rig_graph", dataset.cv_path, SETTLED))
        service = ComputeService(Datasets({"rig_graph": dataset}), store, graphs, Volumes())
        groups = graph.geometry().group_by_chunk(np.array(message["data_unpickled"]["new_lvl2_ids"], np.uint64))
        chunk = groups[0][0]
        ids = dict(graph.geometry().group_by_chunk(np.array(sorted(recorded), np.uint64)))[chunk]
        outcome = service.compute_nodes("rig_graph", ids)
        written = rows_of(store, "cache", ids)
        store.close()
    assert set(outcome.chunks) == {chunk}
    assert set(written) == set(ids.tolist())
    for l2_id, row in written.items():
        assert_same_row(row, recorded[l2_id], ties=True)
