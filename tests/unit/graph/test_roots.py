"""The L2 nodes of roots: of a graph server that answers well, badly or not, and down a table's tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from werkzeug import Request, Response

from shared.errors import GraphUnavailableError
from shared.geometry.ids import IdLayout
from shared.graph.address import GraphAddress
from shared.graph.bigtable_roots import descend
from shared.graph.children import ChildrenCell
from shared.graph.protocol import RootNodes
from shared.graph.server import GraphServer
from shared.graph.transport import GraphTransport
from shared.types import UInt64Array
from tests.support.graph.servers import Flaky, serving
from tests.support.graph.small import GEOMETRY, node_id

INFO = {
    "data_dir": GEOMETRY.data_dir,
    "graph": {"chunk_size": [9, 7, 5], "spatial_bit_masks": {"1": 8, "2": 8, "3": 4, "4": 2}, "cv_mip": 0},
    "scales": [{"resolution": [16, 16, 40], "size": [23, 14, 12], "voxel_offset": [100, 50, 0]}],
}


def node(layer: int, segment: int) -> int:
    """A node of the first chunk; layers above 2 have other bits than the small graph's."""
    return node_id(layer, (0, 0, 0), segment) if layer <= 2 else (layer << 56) | segment


L2 = [node(2, segment) for segment in range(6)]
INNER, ROOT, OLD_ROOT, NO_ROOT, LEAKY, CUT_OFF, LOOP = (node(4, segment) for segment in range(1, 8))
MID = node(3, 1)
# A root with a branch that skips layer 3, one that it superseded and that shares a branch, and damaged ones.
CHILDREN = {
    ROOT: [MID, L2[2]],
    OLD_ROOT: [MID],
    INNER: [L2[5]],
    MID: [L2[1], L2[0]],
    LEAKY: [L2[3], node(1, 7)],
    CUT_OFF: [L2[3], node(3, 99)],
    LOOP: [L2[4], LOOP],
}
LEAVES = {ROOT: [L2[2], L2[0], L2[1]], OLD_ROOT: L2[:2], INNER: L2[5:], MID: L2[:2], LEAKY: CHILDREN[LEAKY]}
UNKNOWN = "the graph does not know this node"


def ids(*values: int) -> UInt64Array:
    return np.array(values, dtype=np.uint64)


def plain(nodes: RootNodes) -> dict[int, Any]:
    assert not nodes.l2_ids.keys() & nodes.errors.keys()
    return {**{root: found.tolist() for root, found in nodes.l2_ids.items()}, **nodes.errors}


@Request.application
def tree_server(request: Request) -> Response:
    path = request.path.split("/table/small/")[1]
    if path == "info":
        return Response(json.dumps(INFO))
    assert request.args["stop_layer"] == "2"
    if path == "node/leaves_many":
        asked = json.loads(request.get_data())["node_ids"]
        return Response(json.dumps({str(root): LEAVES.get(root, []) for root in asked}))
    return Response(json.dumps({"leaf_ids": LEAVES.get(int(path.split("/")[1]), [])}))


class Rig:
    def __init__(self, flaky: Flaky, url: str) -> None:
        self.flaky = flaky
        address = GraphAddress.parse(f"graphene://{url}/segmentation/table/small")
        self.graph = GraphServer(address, GraphTransport(None, 5.0, 2, sleep=lambda _: None))
        self.graph.geometry()
        flaky.requests.clear()

    def ask(self, *roots: int) -> dict[int, Any]:
        return plain(self.graph.l2_ids_of_roots(ids(*roots)))


@pytest.fixture
def rig() -> Iterator[Rig]:
    flaky = Flaky(tree_server)
    with serving(flaky) as url:
        yield Rig(flaky, url)


def answering(part: str, answer: Response) -> Any:
    return lambda request: answer if request.path.endswith(part) else None


def test_many_roots_take_few_requests_and_only_unknown_ones_one_more(rig: Rig) -> None:
    assert rig.ask(NO_ROOT, ROOT, OLD_ROOT, ROOT) == {ROOT: L2[:3], OLD_ROOT: L2[:2], NO_ROOT: UNKNOWN}
    assert rig.flaky.paths() == ["node/leaves_many", f"node/{NO_ROOT}/leaves"]
    assert rig.ask() == {}


def test_a_hundred_roots_are_asked_for_a_part_at_a_time(rig: Rig) -> None:
    LEAVES.update(many := {node(4, segment): [node(2, segment)] for segment in range(1000, 1100)})
    assert rig.ask(*many) == many
    assert len(rig.flaky.paths()) == 10


@pytest.mark.parametrize(
    "answer", [Response(status=404), Response(status=405), Response(status=500), Response("{}"), Response('{"1": []}')]
)
def test_where_the_server_cannot_answer_for_many_each_root_is_asked_for(rig: Rig, answer: Response) -> None:
    rig.flaky.plan = answering("leaves_many", answer)
    assert rig.ask(ROOT, INNER, NO_ROOT) == {ROOT: L2[:3], INNER: [L2[5]], NO_ROOT: UNKNOWN}
    one_by_one = [f"node/{root}/leaves" for root in (ROOT, INNER, NO_ROOT)]
    assert sorted(rig.flaky.paths()) == sorted(["node/leaves_many", *one_by_one])


@pytest.mark.parametrize(("status", "said"), [(400, UNKNOWN), (404, UNKNOWN), (500, "may not exist")])
def test_a_root_that_the_server_fails_at_is_an_error_of_that_root_only(rig: Rig, status: int, said: str) -> None:
    failing = answering(f"{NO_ROOT}/leaves", Response(status=status))
    many = answering("leaves_many", Response(status=500))
    rig.flaky.plan = lambda request: failing(request) or many(request)
    found = rig.ask(ROOT, NO_ROOT)
    assert found[ROOT] == L2[:3]
    assert said in found[NO_ROOT]


@pytest.mark.parametrize("path", ["leaves_many", "leaves"])
@pytest.mark.parametrize("answer", [Response(status=503), Response(status=401), Response("no JSON")])
def test_a_server_that_is_away_says_nothing_of_any_root(rig: Rig, path: str, answer: Response) -> None:
    rig.flaky.plan = answering(path, answer)
    with pytest.raises(GraphUnavailableError):
        rig.ask(ROOT, NO_ROOT)


def test_descendants_that_are_no_l2_nodes_are_an_error_of_their_root(rig: Rig) -> None:
    found = rig.ask(LEAKY, ROOT)
    assert found[ROOT] == L2[:3]
    assert "no L2 nodes" in found[LEAKY]


def down_the_tree(*roots: int) -> tuple[dict[int, Any], list[list[int]]]:
    reads: list[list[int]] = []

    def read(nodes: list[int]) -> Iterator[ChildrenCell]:
        reads.append(nodes)
        return (ChildrenCell(n, 0, ids(*CHILDREN[n])) for n in nodes if n in CHILDREN)

    return plain(descend(ids(*roots), IdLayout.from_info(INFO), read)), reads


def test_all_roots_are_descended_from_side_by_side_and_what_they_share_is_read_once() -> None:
    found, reads = down_the_tree(ROOT, OLD_ROOT, INNER, MID, ROOT)
    assert found == {ROOT: L2[:3], OLD_ROOT: L2[:2], INNER: [L2[5]], MID: L2[:2]}
    assert [sorted(nodes) for nodes in reads] == [sorted({ROOT, OLD_ROOT, INNER, MID}), [MID]]
    assert down_the_tree() == ({}, [])


def test_a_root_without_a_row_and_damaged_trees_are_errors_of_their_own() -> None:
    found, _ = down_the_tree(NO_ROOT, ROOT, LEAKY, CUT_OFF, LOOP)
    assert found[ROOT] == L2[:3]
    assert found[NO_ROOT] == UNKNOWN
    assert "no L2 nodes" in found[LEAKY]
    assert "lacks a node" in found[CUT_OFF]
    assert "no lower layer" in found[LOOP]
