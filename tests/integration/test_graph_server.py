"""The stand-in graph server against what was recorded between the real one and its clients."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from tests.support.graph.servers import DATA, needs_data, real_graph, serving

# The requests were recorded after the dump's merge and one more edit, a split of the merged root (operation 2), that
# no dump holds: what these answers say of its two new roots (...640066 and ...640078) cannot be known from the dumps.
TOLD_BY_THE_UNKNOWN_SPLIT = {
    "roots_binary": "two supervoxels belong to one of its roots",
    "root_single": "the supervoxel belongs to one of its roots",
    "root_of_l2": "the first L2 node belongs to one of its roots",
    "is_latest_roots": "it superseded the merged root",
    "delta_roots": "its roots are listed",
    "operation_details": "its record is listed",
}
# These differ by their nature: the place of the voxels, the moment, the duration, the project's name in a message.
TOLD_BY_THE_PLACE = {"info", "info_unknown", "l2_chunk_children_wrong_layer"}


def body_of(message: dict[str, Any] | None) -> bytes:
    if message is None:
        return b""
    return base64.b64decode(message["base64"]) if "base64" in message else message["text"].encode("latin-1")


def replay(server: str, request: dict[str, Any]) -> requests.Response:
    # Requests recorded without Accept-Encoding must not get the one that the client library adds of itself.
    headers = {"Accept-Encoding": "identity"} | {
        name: value
        for name, value in request["headers"].items()
        if name not in ("Host", "Connection", "Content-Length")
    }
    return requests.request(
        request["method"], server + request["path"], headers=headers, data=body_of(request["body"]), timeout=10
    )


def recorded_content(response: dict[str, Any]) -> bytes:
    raw = body_of(response["body"])
    return gzip.decompress(raw) if response["headers"].get("Content-Encoding") == "gzip" else raw


def recorded_requests() -> dict[str, dict[str, Any]]:
    path = DATA / "http" / "graph_server_requests.json"
    return {exchange["name"]: exchange for exchange in json.loads(path.read_text())} if path.exists() else {}


def cloudvolume_traffic() -> list[dict[str, Any]]:
    path = DATA / "http" / "graph_server_cloudvolume.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def merged() -> Iterator[str]:
    with serving(real_graph("after_merge")) as address:
        yield address


@pytest.fixture(scope="module")
def unmerged() -> Iterator[str]:
    with serving(real_graph("before_merge")) as address:
        yield address


@needs_data
@pytest.mark.parametrize("name", sorted(recorded_requests().keys() - TOLD_BY_THE_UNKNOWN_SPLIT - TOLD_BY_THE_PLACE))
def test_recorded_requests_are_answered_byte_for_byte_as_recorded(merged: str, name: str) -> None:
    exchange = recorded_requests()[name]
    answer = replay(merged, exchange["request"])
    assert answer.status_code == exchange["response"]["status"]
    assert answer.content == recorded_content(exchange["response"])
    for header in ("Content-Type", "Content-Encoding", "Access-Control-Allow-Origin", "Used-Bounds"):
        assert answer.headers.get(header) == exchange["response"]["headers"].get(header)


@needs_data
def test_answers_that_a_later_split_changed_are_those_from_before_it(merged: str) -> None:
    exchanges = recorded_requests()
    answers = {name: replay(merged, exchanges[name]["request"]) for name in TOLD_BY_THE_UNKNOWN_SPLIT}
    old = {name: recorded_content(exchanges[name]["response"]) for name in TOLD_BY_THE_UNKNOWN_SPLIT}
    merged_root, split_root = 360287970189639974, 360287970189640066
    for name in ("roots_binary", "root_of_l2"):
        ours, theirs = (np.frombuffer(content, dtype="<u8") for content in (answers[name].content, old[name]))
        np.testing.assert_array_equal(ours, np.where(theirs == split_root, merged_root, theirs))
    assert answers["root_single"].json() == {"root_id": merged_root}
    assert answers["is_latest_roots"].json() == {"is_latest": [False, True]}
    assert answers["delta_roots"].json() == {
        "new_roots": json.loads(old["delta_roots"])["new_roots"][:1],
        "old_roots": json.loads(old["delta_roots"])["old_roots"][:2],
    }
    assert answers["operation_details"].json()["1"] == json.loads(old["operation_details"])["1"]


@needs_data
def test_info_is_as_recorded_but_for_the_place_of_the_voxels(merged: str) -> None:
    exchange = recorded_requests()["info"]
    recorded = json.loads(recorded_content(exchange["response"]))
    answer = replay(merged, exchange["request"]).json()
    assert answer == recorded | {"data_dir": (DATA / "watershed").resolve().as_uri()}


@needs_data
@pytest.mark.parametrize("name", ["info_unknown", "l2_chunk_children_wrong_layer"])
def test_errors_have_the_recorded_status_keys_and_message(merged: str, name: str) -> None:
    exchange = recorded_requests()[name]
    recorded = json.loads(recorded_content(exchange["response"]))
    answer = replay(merged, exchange["request"])
    assert answer.status_code == exchange["response"]["status"]
    assert answer.json().keys() == recorded.keys()
    assert answer.json()["code"] == recorded["code"]
    assert answer.json()["message"] == recorded["message"].replace("/rig/", "/local/")


@needs_data
@pytest.mark.parametrize("number", range(1, len(cloudvolume_traffic())))
def test_the_traffic_of_cloudvolume_is_answered_as_recorded(unmerged: str, number: int) -> None:
    exchange = cloudvolume_traffic()[number]
    answer = replay(unmerged, exchange["request"])
    assert answer.status_code == exchange["response"]["status"]
    assert answer.content == recorded_content(exchange["response"])
    assert answer.headers.get("Content-Encoding") == exchange["response"]["headers"].get("Content-Encoding")


BAD_REQUESTS = [
    ("POST", "roots_binary", b"1234567", "7 bytes"),
    ("POST", "roots_binary?stop_layer=two", b"", "stop_layer"),
    ("POST", "roots_binary?timestamp=yesterday", b"", "timestamp"),
    ("POST", "roots_binary?timestamp=inf", b"", "timestamp"),
    ("POST", "roots", b"{", "no JSON"),
    ("POST", "roots", b"[]", "node_ids"),
    ("POST", "roots", b'{"node_ids": [1.5]}', "1.5"),
    ("POST", "node/leaves_many", b'{"node_ids": [-1]}', "-1"),
    ("GET", "node/1/leaves?bounds=1-2_3-4", b"", "bounds"),
    ("GET", "operation_details?operation_ids=x", b"", "operation_ids"),
]


@needs_data
@pytest.mark.parametrize(("method", "path", "body", "named"), BAD_REQUESTS)
def test_bad_requests_are_answered_as_json_that_names_the_bad_part(
    merged: str, method: str, path: str, body: bytes, named: str
) -> None:
    address = f"{merged}/segmentation/api/v1/table/rig_graph/{path}"
    answer = requests.request(method, address, data=body, timeout=10)
    assert answer.status_code == 500
    assert answer.json()["code"] == 500
    assert named in answer.json()["message"]


@needs_data
def test_an_unknown_route_is_answered_404_as_json(merged: str) -> None:
    answer = requests.get(f"{merged}/segmentation/api/v1/table/rig_graph/nothing", timeout=10)
    assert answer.status_code == 404
    assert answer.json()["code"] == 404
