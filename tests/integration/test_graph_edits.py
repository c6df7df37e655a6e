"""A made world behind the stand-in graph server: read by CloudVolume, edited over HTTP, killed and started again."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import requests
from caveclient.chunkedgraph import ChunkedGraphClient
from cloudvolume import CloudVolume

from infra.standin.graph.server import GraphFiles, make_graph_server
from infra.standin.world.build import build
from infra.standin.world.parameters import WorldParameters
from shared.bus.open import open_bus
from shared.bus.protocol import Publisher
from shared.errors import StorageUnavailableError
from shared.safe_pickle import decoder as safe_pickle
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Lease
from tests.support.graph.servers import running

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef" * 2
MADE_S = 1_767_225_600
PARAMETERS = WorldParameters((80, 75, 70), (32, 32, 32), seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "world"
    build(folder, PARAMETERS)
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Path:
    """A copy of the world that may be edited."""
    return Path(shutil.copytree(made, tmp_path / "world"))


def test_the_volume_is_served_beside_the_graph(world: Path) -> None:
    with serving(world) as server:
        answer = requests.get(f"{server}/watershed/info", timeout=10)
        missing = requests.get(f"{server}/watershed/nothing", timeout=10)
    assert answer.json() == orjson.loads((world / "watershed" / "info").read_bytes())
    assert missing.status_code == 404
    assert {one.headers["Access-Control-Allow-Origin"] for one in (answer, missing)} == {"*"}


def description(world: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((world / "world.json").read_bytes())
    return content


@contextmanager
def serving(world: Path, publisher: Publisher | None = None) -> Iterator[str]:
    with running(make_graph_server(GraphFiles.of_world(world), "127.0.0.1", 0, publisher)) as address:
        yield address


def post(server: str, path: str, body: Any, expected_status: int = 200) -> Any:
    address = f"{server}/segmentation/api/v1/table/demo/{path}"
    answer = requests.post(address, data=orjson.dumps(body), timeout=10)
    assert answer.status_code == expected_status, answer.text
    return answer.json()


def roots(server: str, supervoxels: list[int], query: str = "") -> list[int]:
    found: list[int] = post(server, f"roots{query}", {"node_ids": supervoxels})["root_ids"]
    return found


def reader_of(server: str, **options: Any) -> CloudVolume:
    address = f"graphene://{server}/segmentation/table/demo"
    return CloudVolume(address, secrets={"token": TOKEN}, progress=False, fill_missing=True, **options)


def test_cloudvolume_reads_supervoxels_l2_nodes_and_roots(world: Path) -> None:
    with serving(world) as server:
        volume = reader_of(server)
        supervoxels = np.asarray(volume[:])[..., 0]
        assert supervoxels.shape == PARAMETERS.size_voxels
        assert tuple(volume.graph_chunk_size) == PARAMETERS.chunk_size_voxels
        distinct, places = np.unique(supervoxels, return_inverse=True)
        for stop_layer in (2, None):
            query = "" if stop_layer is None else f"?stop_layer={stop_layer}"
            expected = np.array([0, *roots(server, distinct[1:].tolist(), query)], dtype=np.uint64)
            read = volume.download(volume.bounds, agglomerate=True, stop_layer=stop_layer)
            np.testing.assert_array_equal(np.asarray(read)[..., 0], expected[places].reshape(supervoxels.shape))


def test_cloudvolume_finds_the_leaves_of_a_root_and_of_an_l2_node(world: Path) -> None:
    root = description(world)["roots"][0]
    with serving(world) as server:
        volume = reader_of(server)
        l2_ids = volume.get_leaves(root["root_id"], volume.bounds, 0, stop_layer=2)
        assert len(l2_ids) == root["l2_ids"]
        supervoxels = np.concatenate([volume.get_leaves(int(l2_id), volume.bounds, 0) for l2_id in l2_ids])
        assert set(volume.get_roots(supervoxels).tolist()) == {root["root_id"]}
        assert volume.get_chunk_layer(int(l2_ids[0])) == 2


def test_cloudvolume_reads_the_past_after_an_edit(world: Path) -> None:
    one, other = description(world)["merges"][0]
    with serving(world) as server:
        old = roots(server, [one[0], other[0]])
        (new,) = post(server, "merge", [one, other])["new_root_ids"]
        volume = reader_of(server)
        position = np.array(one[1:])
        for timestamp, expected in ((MADE_S, old[0]), (None, new)):
            read = volume.download_point(position, size=1, agglomerate=True, timestamp=timestamp, mip=0)
            assert np.asarray(read).ravel().tolist() == [expected]


def test_caveclient_merges_and_reads_the_graph(world: Path) -> None:
    one, other = description(world)["merges"][0]
    with serving(world) as server:
        client = ChunkedGraphClient(server, table_name="demo", auth_client=_auth(server))
        client.do_merge([one[0], other[0]], np.array([one[1:], other[1:]]))
        (root,) = set(client.get_roots([one[0], other[0]]).tolist())
        assert client.is_latest_roots([root]).tolist() == [True]
        l2_ids = client.get_leaves(root, stop_layer=2)
        edges = client.level2_chunk_graph(root)
        assert len(l2_ids) > 1
        assert {node for edge in edges for node in edge} == set(l2_ids.tolist())
        assert client.get_change_log(root)["n_mergers"] == 1
        operation, new_roots = client.execute_split([one[1:]], [other[1:]], root, [one[0]], [other[0]])
        assert operation == 2
        assert len(new_roots) == 2


def _auth(server: str) -> Any:
    from caveclient.auth import AuthClient

    return AuthClient(server_address=server, token=TOKEN)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("merge", [[1, 0, 0, 0], [2, 0, 0, 0]], "not a supervoxel"),
        ("merge", {"sources": []}, "supervoxel, x, y, z"),
        ("merge", [["x", 0, 0, 0], [2, 0, 0, 0]], "'x'"),
        ("split", [], "supervoxel, x, y, z"),
        ("split", {"sources": [[1, 0, 0, 0]], "sinks": []}, "sources and sinks"),
    ],
)
def test_an_impossible_edit_is_answered_400_with_its_reason(world: Path, path: str, body: Any, named: str) -> None:
    with serving(world) as server:
        answer = post(server, path, body, expected_status=400)
        assert answer["code"] == 400
        assert named in answer["message"]
    assert not (world / "journal.ndjson").exists()


def announced(bus: Path) -> list[Lease]:
    deliveries = Deliveries(bus)
    leases = deliveries.lease(10, time.time() + 1)
    deliveries.close()
    return leases


def test_each_edit_is_announced_once_as_the_graph_server_does(world: Path, tmp_path: Path) -> None:
    address = f"sqlite://{tmp_path / 'bus.db'}"
    publisher = open_bus(address)
    merge, split = description(world)["merges"][0], description(world)["splits"][-1]
    with serving(world, publisher) as server:
        answers = [post(server, "merge", merge), post(server, "split", split)]
    with serving(world, publisher):
        leases = announced(tmp_path / "bus.db")
    publisher.close()
    assert [safe_pickle.loads(lease.body) for lease in leases] == answers
    for lease in leases:
        assert lease.attributes == {
            "table_id": "demo",
            "user_id": "0",
            "remesh": "true",
            "remesh_priority": "true",
        }


class RefusingPublisher:
    """A bus that cannot be reached."""

    def publish(self, attributes: object, data: bytes) -> None:
        raise StorageUnavailableError("the bus is away")

    def close(self) -> None:
        """Has nothing to let go of."""


def test_what_the_bus_refused_is_announced_when_the_server_starts_again(world: Path, tmp_path: Path) -> None:
    with serving(world, RefusingPublisher()) as server:
        answer = post(server, "merge", description(world)["merges"][0])
    publisher = open_bus(f"sqlite://{tmp_path / 'bus.db'}")
    with serving(world, publisher):
        (lease,) = announced(tmp_path / "bus.db")
    publisher.close()
    assert safe_pickle.loads(lease.body) == answer


@contextmanager
def server_process(world: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "infra.standin.graph.server", "--world", str(world)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_killed_server_continues_where_it_was(world: Path) -> None:
    first, second = description(world)["merges"][:2]
    with server_process(world) as (process, server):
        edit = post(server, "merge", first)
        process.kill()
    journal = world / "journal.ndjson"
    journal.write_bytes(journal.read_bytes() + b'{"operation_id":2,"cells":[["000')
    with server_process(world) as (_, server):
        supervoxels = [first[0][0], first[1][0]]
        assert roots(server, supervoxels) == edit["new_root_ids"] * 2
        assert sorted(roots(server, supervoxels, f"?timestamp={MADE_S}")) == sorted(edit["old_root_ids"])
        again = post(server, "merge", second)
        assert again["operation_id"] == 2
        assert not set(again["new_lvl2_ids"]) & set(edit["new_lvl2_ids"])
    with server_process(world) as (_, server):
        assert roots(server, [second[0][0], second[1][0]]) == again["new_root_ids"] * 2


def test_a_terminated_server_ends_at_once_and_cleanly(world: Path) -> None:
    with server_process(world) as (process, server):
        assert requests.get(f"{server}/segmentation/table/demo/info", timeout=10).ok
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_edits_at_the_same_time_are_all_done_one_after_another(world: Path) -> None:
    merges = description(world)["merges"]
    answers: list[Any] = []
    with serving(world) as server:
        threads = [threading.Thread(target=lambda m=m: answers.append(post(server, "merge", m))) for m in merges]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer["operation_id"] for answer in answers) == list(range(1, len(merges) + 1))
        for one, other in merges:
            first, second = roots(server, [one[0], other[0]])
            assert first == second
    l2_ids = [l2_id for answer in answers for l2_id in answer["new_lvl2_ids"]]
    assert len(l2_ids) == len(set(l2_ids))
