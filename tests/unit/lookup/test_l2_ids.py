"""Which L2 nodes neurons consist of, over HTTP, from a graph that a test makes up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.lookup_setup import DATASET, json_of
from tests.support.openapi import Description
from tests.unit.lookup.test_neurons import FAR, L2, LACKING, ROOT, ROOTS, SMALL, UNKNOWN, Rig

PATH = f"/l2cache/api/v1/table/{DATASET}/l2_ids"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.store.close()


def post(client: FlaskClient, *roots: Any, query: str = "", **fields: Any) -> TestResponse:
    return client.post(PATH + query, json={"node_ids": list(roots), **fields})


def test_the_nodes_of_roots_are_listed_and_nothing_is_published(rig: Rig) -> None:
    client = rig.client()
    answer = post(client, LACKING, str(ROOT), ROOT, UNKNOWN, L2[0])
    assert answer.status_code == 200
    found = {int(root): entry for root, entry in json_of(answer).items()}
    assert {root: entry["l2_ids"] for root, entry in found.items() if entry["error"] is None} == {
        ROOT: sorted(ROOTS[ROOT]),
        LACKING: sorted(ROOTS[LACKING]),
    }
    assert found[UNKNOWN] == {"l2_ids": None, "error": "unknown"}
    assert found[L2[0]]["error"] == "this is an L2 node: ask for its attributes"
    assert rig.published == []
    description = Description(json_of(client.get("/openapi.json")))
    assert description.faults("POST", PATH, 200, answer.headers, answer.data) == []


def test_ids_are_text_where_that_is_asked_for_and_bounds_choose_among_them(rig: Rig) -> None:
    near = json_of(post(rig.client(), ROOT, query="?int64_as_str=true", bounds=[[0, 0, 0], [500, 9, 9]]))
    assert near == {str(ROOT): {"l2_ids": [str(i) for i in sorted(ROOTS[ROOT]) if i != FAR], "error": None}}


def test_what_cannot_be_answered_is_said(rig: Rig) -> None:
    assert post(rig.client(), -1).status_code == 400
    assert post(rig.client(), ROOT, query="?waits=3").headers["X-L2Cache-Ignored"] == "waits"
    assert "ask for 1 roots" in json_of(post(rig.client(L2CACHE_MAX_TOTAL_NODES="3"), SMALL, LACKING))["message"]
    rig.graph_away = True
    assert post(rig.client(), ROOT).status_code == 503
    limited = rig.client(L2CACHE_IDS_PER_MINUTE="10")
    assert post(limited, *range(11)).status_code == 413
