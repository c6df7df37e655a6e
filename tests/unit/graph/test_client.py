from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from werkzeug import Request, Response

from shared.config.datasets import Dataset
from shared.config.settings import Settings
from shared.errors import ConfigurationError, GraphResponseError, GraphUnavailableError
from shared.geometry.ids import layers
from shared.graph.address import GraphAddress
from shared.graph.registry import Graphs
from shared.graph.server import GraphServer
from shared.graph.transport import GraphTransport
from shared.types import UInt64Array
from tests.support.graph.servers import DATA, Flaky, needs_data, real_graph, serving
from tests.support.graph.small import GEOMETRY, node_id

INFO = {
    "data_dir": GEOMETRY.data_dir,
    "graph": {"chunk_size": [9, 7, 5], "spatial_bit_masks": {"1": 8, "2": 8, "3": 4}, "cv_mip": 0},
    "scales": [{"resolution": [16, 16, 40], "size": [23, 14, 12], "voxel_offset": [100, 50, 0]}],
}
A = (0, 0, 0)
SUPERVOXELS = [node_id(1, A, segment) for segment in range(6)]
NODES = {node_id(2, A, 1): SUPERVOXELS[1:3], node_id(2, A, 2): SUPERVOXELS[3:4]}
ROOT = node_id(3, A, 1)
WHOLE_CHUNK = f"l2_chunk_children_binary/{node_id(2, A, 0)}"
LONG_AGO_S = 1_700_000_000
BEFORE_THE_GRAPH = datetime.fromtimestamp(LONG_AGO_S, UTC)


def ids(*values: int) -> UInt64Array:
    return np.array(values, dtype=np.uint64)


def parent(supervoxel: int, timestamp: str | None) -> int:
    if timestamp is not None and float(timestamp) <= LONG_AGO_S:
        return supervoxel
    if supervoxel == SUPERVOXELS[4]:
        return ROOT
    return next((l2_id for l2_id, members in NODES.items() if supervoxel in members), 0)


@Request.application
def small_server(request: Request) -> Response:
    path = request.path.split("/table/small/")[1]
    if path == "info":
        return Response(json.dumps(INFO))
    if path == "roots_binary":
        assert request.args["stop_layer"] == "2"
        packed = request.headers.get("Content-Encoding") == "gzip"
        body = gzip.decompress(request.get_data()) if packed else request.get_data()
        asked = np.frombuffer(body, dtype="<u8").tolist()
        parents = [parent(supervoxel, request.args.get("timestamp")) for supervoxel in asked]
        return Response(np.array(parents, dtype="<u8").tobytes())
    if path == "node/leaves_many":
        assert request.args["stop_layer"] == "1"
        asked = json.loads(request.get_data())["node_ids"]
        return Response(json.dumps({str(l2_id): NODES.get(l2_id, []) for l2_id in asked}))
    if path.startswith("l2_chunk_children_binary/"):
        assert path == WHOLE_CHUNK
        assert request.args["as_array"] == "True"
        pairs = [(l2_id, member) for l2_id, members in NODES.items() for member in members]
        return Response(np.array(pairs, dtype="<u8").tobytes())
    l2_id = int(path.split("/")[1])
    return Response(json.dumps({"leaf_ids": NODES.get(l2_id, [])}))


class Rig:
    def __init__(self, flaky: Flaky, url: str) -> None:
        self.flaky = flaky
        self.address = GraphAddress.parse(f"graphene://{url}/segmentation/table/small")
        self.graph = GraphServer(self.address, GraphTransport(None, 5.0, 3, sleep=lambda _: None))


class Late:
    """An answer that does not come before `over` is set."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self._over.wait(60)
        return Response(status=503)(environ, start_response)


@pytest.fixture
def rig() -> Iterator[Rig]:
    flaky = Flaky(small_server)
    with serving(flaky) as url:
        yield Rig(flaky, url)


def answering(part: str, answer: Any, times: int = 1000) -> Any:
    """A plan that answers requests whose path ends with `part`, so many times."""
    left = iter(range(times))

    def plan(request: Request) -> Response | None:
        return answer if request.path.endswith(part) and next(left, None) is not None else None

    return plan


def test_the_geometry_is_asked_for_once(rig: Rig) -> None:
    assert rig.graph.geometry() == GEOMETRY
    assert rig.graph.geometry() == GEOMETRY
    assert rig.flaky.paths() == ["info"]


def test_a_geometry_that_could_not_be_had_is_asked_for_again(rig: Rig) -> None:
    rig.flaky.plan = answering("info", Response(status=503), times=3)
    with pytest.raises(GraphUnavailableError):
        rig.graph.geometry()
    assert rig.graph.geometry() == GEOMETRY


def test_a_description_that_cannot_be_used_is_a_configuration_error(rig: Rig) -> None:
    rig.flaky.plan = answering("info", Response("{}"))
    with pytest.raises(ConfigurationError, match="info"):
        rig.graph.geometry()


def test_l2_nodes_come_in_the_order_of_the_supervoxels_and_0_where_there_is_none(rig: Rig) -> None:
    unknown, odd = SUPERVOXELS[5], SUPERVOXELS[4]
    asked = ids(unknown, SUPERVOXELS[3], 0, odd, SUPERVOXELS[1], SUPERVOXELS[3])
    first, second = NODES
    found = rig.graph.l2_of_supervoxels(asked, None).l2_ids
    assert found.dtype == np.uint64
    assert found.tolist() == [0, second, 0, 0, first, second]


def test_before_the_graph_existed_no_supervoxel_has_a_node_and_those_that_get_one_later_are_told_apart(
    rig: Rig,
) -> None:
    mapping = rig.graph.l2_of_supervoxels(ids(0, *SUPERVOXELS[1:]), BEFORE_THE_GRAPH)
    assert mapping.l2_ids.tolist() == [0] * 6
    assert mapping.not_yet.tolist() == [False, True, True, True, True, False]
    assert not mapping.impossible.any()
    assert not rig.graph.l2_of_supervoxels(ids(*SUPERVOXELS), None).not_yet.any()


def test_supervoxels_that_come_back_as_themselves_at_any_moment_are_unknown_and_not_of_a_later_graph(rig: Rig) -> None:
    asked = ids(*SUPERVOXELS[1:])
    rig.flaky.plan = answering("roots_binary", Response(asked.astype("<u8").tobytes()))
    for timestamp in (datetime(2026, 6, 1, tzinfo=UTC), None):
        mapping = rig.graph.l2_of_supervoxels(asked, timestamp)
        assert mapping.l2_ids.tolist() == [0] * 5
        assert not mapping.not_yet.any()
        assert not mapping.impossible.any()


def test_parents_that_no_graph_has_are_told_apart_from_none(rig: Rig) -> None:
    own, elsewhere, above = node_id(2, A, 1), node_id(2, (1, 1, 1), 1), ROOT
    impossible = [node_id(1, A, 77), 12345, 7 << 56 | 5, 2**64 - 1]
    parents = [own, elsewhere, above, 0, *impossible]
    asked = ids(*(node_id(1, A, segment) for segment in range(len(parents))))
    rig.flaky.plan = answering("roots_binary", Response(np.array(parents, dtype="<u8").tobytes()))
    mapping = rig.graph.l2_of_supervoxels(asked, datetime(2026, 6, 1, tzinfo=UTC))
    assert mapping.l2_ids.tolist() == [own, elsewhere, 0, 0, 0, 0, 0, 0]
    assert mapping.impossible.tolist() == [False] * 4 + [True] * 4
    assert not mapping.not_yet.any()


@pytest.mark.parametrize(
    ("timestamp", "sent"),
    [
        ("2026-06-01T00:00:00+00:00", "1780272000"),
        ("2026-06-01T02:00:00+02:00", "1780272000"),
        ("2026-06-01T00:00:00.007900+00:00", "1780272000.007"),
        (None, None),
    ],
)
def test_the_moment_is_sent_in_unix_seconds_rounded_down_to_the_millisecond(
    rig: Rig, timestamp: str | None, sent: str | None
) -> None:
    rig.graph.l2_of_supervoxels(ids(SUPERVOXELS[1]), None if timestamp is None else datetime.fromisoformat(timestamp))
    assert rig.flaky.requests[0].args.get("timestamp") == sent


def test_a_moment_without_a_time_zone_is_refused(rig: Rig) -> None:
    with pytest.raises(ValueError, match="time zone"):
        rig.graph.l2_of_supervoxels(ids(SUPERVOXELS[1]), datetime(2026, 6, 1))


def test_for_no_supervoxels_nobody_is_asked_for_their_nodes(rig: Rig) -> None:
    assert rig.graph.l2_of_supervoxels(ids(), None).l2_ids.tolist() == []
    assert "roots_binary" not in rig.flaky.paths()


def test_many_supervoxels_are_asked_for_in_parts(rig: Rig) -> None:
    found = rig.graph.l2_of_supervoxels(np.resize(ids(*SUPERVOXELS), 600_000), None).l2_ids
    expected = ids(*(parent(supervoxel, None) if supervoxel != SUPERVOXELS[4] else 0 for supervoxel in SUPERVOXELS))
    np.testing.assert_array_equal(found, np.resize(expected, 600_000))
    assert rig.flaky.paths().count("roots_binary") == 3


@pytest.mark.parametrize("body", [b"", b"1234567", b"12345678" * 3, b"<html>"])
def test_an_answer_of_another_length_is_no_answer(rig: Rig, body: bytes) -> None:
    rig.flaky.plan = answering("roots_binary", Response(body), times=2)
    assert rig.graph.l2_of_supervoxels(ids(*SUPERVOXELS[1:3]), None).l2_ids.tolist() == [next(iter(NODES))] * 2
    rig.flaky.plan = answering("roots_binary", Response(body))
    with pytest.raises(GraphUnavailableError, match="malformed"):
        rig.graph.l2_of_supervoxels(ids(*SUPERVOXELS[1:3]), None)


def supervoxels_of(rig: Rig, *l2_ids: int) -> dict[int, list[int]]:
    return {l2_id: members.tolist() for l2_id, members in rig.graph.supervoxels_of(ids(*l2_ids)).items()}


def without_members(l2_ids: list[int]) -> dict[int, list[int]]:
    return {l2_id: [] for l2_id in l2_ids}


def test_supervoxels_of_many_nodes_take_one_request_and_a_few_unknown_ones_one_more_each(rig: Rig) -> None:
    unknown = node_id(2, A, 9)
    assert supervoxels_of(rig, *NODES, unknown, *NODES) == {**NODES, unknown: []}
    assert rig.flaky.paths() == ["info", "node/leaves_many", f"node/{unknown}/leaves"]


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=404),
        Response(status=405),
        Response(status=500),
        Response('{"message": "no such layer"}', status=500),
        Response("{}"),
        Response(json.dumps({str(l2_id): [] for l2_id in NODES})),
        Response(json.dumps({str(l2_id): [l2_id] for l2_id in NODES})),
    ],
)
def test_where_the_server_cannot_answer_for_many_nodes_each_is_asked_for(rig: Rig, answer: Response) -> None:
    rig.flaky.plan = answering("leaves_many", answer)
    assert supervoxels_of(rig, *NODES) == NODES
    one_by_one = [f"node/{l2_id}/leaves" for l2_id in NODES]
    assert sorted(rig.flaky.paths()) == sorted(["info", "node/leaves_many", *one_by_one])


@pytest.mark.parametrize("count", [3, 400])
def test_unknown_nodes_of_a_chunk_take_one_request_together(rig: Rig, count: int) -> None:
    unknown = [node_id(2, A, segment) for segment in range(9, 9 + count)]
    assert supervoxels_of(rig, *unknown, *NODES) == {**NODES, **without_members(unknown)}
    assert rig.flaky.paths() == ["info", "node/leaves_many", WHOLE_CHUNK]


def test_nodes_that_the_server_forgot_among_many_are_found_among_those_of_their_chunk(rig: Rig) -> None:
    rig.flaky.plan = answering("leaves_many", Response("{}"))
    unknown = node_id(2, A, 9)
    assert supervoxels_of(rig, *NODES, unknown) == {**NODES, unknown: []}
    assert rig.flaky.paths()[-1] == WHOLE_CHUNK


def test_only_chunks_with_more_than_a_few_unknown_nodes_are_asked_for_whole(rig: Rig) -> None:
    many = [node_id(2, A, segment) for segment in range(9, 30)]
    few = [node_id(2, (x, 0, 1), segment) for x in range(3) for segment in (1, 2)]
    assert supervoxels_of(rig, *few, *many) == without_members([*few, *many])
    one_by_one = [f"node/{l2_id}/leaves" for l2_id in few]
    assert sorted(rig.flaky.paths()[2:]) == sorted([WHOLE_CHUNK, *one_by_one])


@pytest.mark.parametrize("status", [400, 404, 405, 500, 501])
def test_where_the_server_cannot_answer_for_a_chunk_its_nodes_are_asked_for_one_by_one(rig: Rig, status: int) -> None:
    unknown = [node_id(2, A, segment) for segment in range(9, 13)]
    rig.flaky.plan = answering(WHOLE_CHUNK, Response(status=status))
    assert supervoxels_of(rig, *NODES, *unknown) == {**NODES, **without_members(unknown)}
    assert sorted(rig.flaky.paths()[3:]) == [f"node/{l2_id}/leaves" for l2_id in unknown]


def test_a_chunks_answer_that_is_cut_off_is_asked_for_again(rig: Rig) -> None:
    unknown = [node_id(2, A, segment) for segment in range(9, 13)]
    rig.flaky.plan = answering(WHOLE_CHUNK, Response(b"12345678" * 3), times=2)
    assert supervoxels_of(rig, *unknown) == without_members(unknown)
    rig.flaky.plan = answering(WHOLE_CHUNK, Response(b"12345678" * 3))
    with pytest.raises(GraphUnavailableError, match="malformed"):
        supervoxels_of(rig, *unknown)


def test_of_another_chunks_answer_no_node_is_taken_to_be_unknown(rig: Rig) -> None:
    pairs = [(node_id(2, (1, 0, 0), 9), node_id(1, (1, 0, 0), 1))]
    rig.flaky.plan = answering(WHOLE_CHUNK, Response(np.array(pairs, dtype="<u8").tobytes()))
    with pytest.raises(GraphUnavailableError, match=r"other chunks.*\(0, 0, 0\)"):
        supervoxels_of(rig, *(node_id(2, A, segment) for segment in range(9, 13)))


STRANGERS = [node_id(1, (1, 0, 0), 1), node_id(2, A, 5), 12345, 2**64 - 1, 0]


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("way", ["many", "chunk", "single"])
def test_an_answer_with_what_is_no_supervoxel_of_the_nodes_chunk_is_refused_whole(
    rig: Rig, way: str, stranger: int
) -> None:
    wrong, right = NODES
    members = {wrong: [*NODES[wrong], stranger], right: NODES[right], node_id(2, A, 8): []}
    if way == "many":
        rig.flaky.plan = answering("leaves_many", Response(json.dumps(members)))
    elif way == "chunk":
        pairs = np.array([(l2_id, member) for l2_id in members for member in members[l2_id]], dtype="<u8")
        not_many, chunk = answering("leaves_many", Response("{}")), answering(WHOLE_CHUNK, Response(pairs.tobytes()))
        rig.flaky.plan = lambda request: not_many(request) or chunk(request)
    else:
        not_many = answering("leaves_many", Response("{}"))
        single = answering(f"{wrong}/leaves", Response(json.dumps({"leaf_ids": members[wrong]})))
        rig.flaky.plan = lambda request: not_many(request) or single(request)
    asked = list(members) if way != "single" else [wrong, right]
    with pytest.raises(GraphUnavailableError, match=f"node {wrong} .*{stranger} "):
        supervoxels_of(rig, *asked)


def test_a_question_ends_with_the_time_that_it_was_given(rig: Rig) -> None:
    rig.graph.geometry()
    over = threading.Event()

    def hang(request: Request) -> Response | None:
        return Late(over) if "leaves" in request.path else None

    rig.flaky.plan = hang
    patient = GraphServer(rig.address, GraphTransport(None, 600.0, 5))
    patient.geometry()
    try:
        with pytest.raises(GraphUnavailableError):
            patient.supervoxels_of(ids(*NODES), within_s=0.2)
    finally:
        over.set()
    rig.flaky.requests.clear()
    with pytest.raises(GraphUnavailableError, match="no time left"):
        patient.supervoxels_of(ids(*NODES), within_s=0.0)
    assert rig.flaky.paths() == []


def test_ids_as_text_are_understood(rig: Rig) -> None:
    as_text = {str(l2_id): [str(member) for member in members] for l2_id, members in NODES.items()}
    rig.flaky.plan = answering("leaves_many", Response(json.dumps(as_text)))
    assert supervoxels_of(rig, *NODES) == NODES


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"leaf_ids": 7}', '{"leaf_ids": ["x"]}', '{"leaf_ids": [-1]}'])
def test_leaves_that_cannot_be_read_are_asked_for_again(rig: Rig, body: str) -> None:
    l2_id = next(iter(NODES))
    not_many = answering("leaves_many", Response(status=404))
    twice, always = answering("leaves", Response(body), times=2), answering("leaves", Response(body))
    rig.flaky.plan = lambda request: not_many(request) or twice(request)
    assert supervoxels_of(rig, l2_id) == {l2_id: NODES[l2_id]}
    rig.flaky.plan = lambda request: not_many(request) or always(request)
    with pytest.raises(GraphUnavailableError):
        rig.graph.supervoxels_of(ids(l2_id))


def test_a_node_that_cannot_be_asked_for_fails_the_whole(rig: Rig) -> None:
    rig.flaky.plan = answering("leaves", Response(status=503))
    with pytest.raises(GraphUnavailableError):
        rig.graph.supervoxels_of(ids(node_id(2, A, 9)))
    rig.flaky.plan = answering("leaves", Response(status=404))
    with pytest.raises(GraphResponseError):
        rig.graph.supervoxels_of(ids(node_id(2, A, 9)))


def settings(**changes: str) -> Settings:
    needed = {f"L2CACHE_{name}": "x" for name in ("DATASETS", "STORE", "BUS", "QUEUE")}
    return Settings.from_environment({**needed, "CLOUD_VOLUME_DIR": "/nowhere", **changes})


def token_sent(values: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str | None:
    monkeypatch.setenv("HOME", str(tmp_path))
    flaky = Flaky(small_server)
    with serving(flaky) as url:
        Graphs(values).get(Dataset("small", f"graphene://{url}/segmentation/table/small", "t")).geometry()
    return flaky.requests[0].headers.get("Authorization")


def test_the_token_of_the_settings_goes_before_the_one_in_the_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert token_sent(settings(), monkeypatch, tmp_path) is None
    secrets = tmp_path / "cloudvolume" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "cave-secret.json").write_text('{"token": "0123"}')
    folder = str(secrets.parent)
    assert token_sent(settings(CLOUD_VOLUME_DIR=folder), monkeypatch, tmp_path) == "Bearer 0123"
    both = settings(CLOUD_VOLUME_DIR=folder, L2CACHE_GRAPH_TOKEN="4567")  # noqa: S106  # of nobody
    assert token_sent(both, monkeypatch, tmp_path) == "Bearer 4567"
    assert "4567" not in repr(both)


def test_a_graph_is_opened_once() -> None:
    graphs = Graphs(settings())
    dataset = Dataset("small", "graphene://http://127.0.0.1:9/segmentation/table/small", "t")
    assert graphs.get(dataset) is graphs.get(dataset)


@pytest.fixture(scope="module")
def real() -> Iterator[GraphServer]:
    with serving(real_graph("after_merge")) as url:
        address = GraphAddress.parse(f"graphene://{url}/segmentation/table/rig_graph")
        yield GraphServer(address, GraphTransport(None, 30.0, 2))


@needs_data
def test_every_supervoxel_of_the_real_graph_is_among_those_of_its_node(real: GraphServer) -> None:
    recorded = json.loads((DATA / "messages" / "edit_merge.json").read_text())
    merged = ids(*recorded[0]["data_unpickled"]["new_lvl2_ids"])
    superseded = ids(144115188277182465, 144115188277182470)
    members = real.supervoxels_of(np.concatenate([merged, superseded]))
    assert (layers(np.concatenate(list(members.values())), real.geometry().layout) == 1).all()
    for l2_id in merged.tolist():
        assert set(real.l2_of_supervoxels(members[l2_id], None).l2_ids.tolist()) == {l2_id}
    before_the_merge = datetime(2026, 6, 1, tzinfo=UTC)
    for l2_id in superseded.tolist():
        assert len(members[l2_id])
        assert set(real.l2_of_supervoxels(members[l2_id], before_the_merge).l2_ids.tolist()) == {l2_id}
        assert l2_id not in real.l2_of_supervoxels(members[l2_id], None).l2_ids


@needs_data
def test_the_real_graph_did_not_exist_before_it_was_made(real: GraphServer) -> None:
    some = real.supervoxels_of(ids(144115188277182465))[144115188277182465]
    assert not real.l2_of_supervoxels(some, BEFORE_THE_GRAPH).l2_ids.any()
