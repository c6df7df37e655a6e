"""The table of operations: what follows over HTTP from an entry of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from shared.errors import L2CacheError
from shared.ingest.control.fields import Field, Kind, Values
from shared.ingest.control.operation import Operation
from shared.ingest.control.operations import OPERATIONS
from shared.ingest.control.service import IngestService
from tests.support.graph.small import GRAPH_ID, failing
from tests.support.ingest_server import serve
from tests.support.ingest_site import CHUNKS, Site

START = {"dataset": GRAPH_ID, "timestamp": "2026-06-01 00:00:00"}


def _size(service: IngestService, values: Values) -> dict[str, Any]:
    chunks = service.status(values["dataset"]).total_chunks
    return {"size": chunks * values["factor"] if values["loud"] else chunks}


SIZE = Operation(
    "size",
    "How large the newest run is.",
    (
        Field("dataset", Kind.TEXT, "Name of the dataset.", is_required=True),
        Field("factor", Kind.WHOLE, "Times this.", default=2, least=1, most=9),
        Field("loud", Kind.FLAG, "Whether to multiply.", default=False),
    ),
    _size,
    reads_only=True,
)


def post(url: str, path: str, **document: Any) -> requests.Response:
    return requests.post(f"{url}{path}", json=document, timeout=30)


def test_a_new_operation_is_one_entry(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.start()
    with serve(site.ingest, tmp_path, known=(*OPERATIONS, SIZE)) as url:
        assert post(url, "/size", dataset=GRAPH_ID).json() == {"size": CHUNKS}
        assert post(url, "/", operation="size", dataset=GRAPH_ID, loud=True).json() == {"size": 2 * CHUNKS}
        query = {"dataset": GRAPH_ID, "factor": "3", "loud": "true"}
        assert requests.get(f"{url}/size", params=query, timeout=30).json() == {"size": 3 * CHUNKS}
        for wrong, named in (({"factor": 10}, "factor"), ({"loud": "yes"}, "loud"), ({"colour": 1}, "colour")):
            answer = post(url, "/size", dataset=GRAPH_ID, **wrong)
            assert (answer.status_code, named in answer.json()["message"]) == (400, True)
        assert "size" in post(url, "/", operation="dance").json()["message"]
        described = requests.get(f"{url}/operations", timeout=30).json()["operations"]
        assert [one["name"] for one in described] == [*(operation.name for operation in OPERATIONS), "size"]
        assert described[-1]["methods"] == ["GET", "POST"]
        assert described[-1]["fields"][1] == {
            "name": "factor", "kind": "whole", "help": "Times this.", "default": 2, "least": 1, "most": 9
        }  # fmt: skip


@pytest.mark.parametrize("name", ["operations", "expand", "health"])
def test_an_operation_cannot_take_the_place_of_another_route(tmp_path: Path, name: str) -> None:
    taken = Operation(name, "", (), lambda _service, _values: {}, reads_only=True)
    with pytest.raises(AssertionError, match=name), serve(Site(tmp_path).ingest, tmp_path, known=(taken,)):
        pass


def test_a_box_of_a_plan_can_be_given_in_a_query(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with serve(site.ingest, tmp_path) as url:
        posted = post(url, "/plan", **START, bounding_box=[[0, 0, 0], [9e9, 9e9, 9e9]], unit="nm").json()
        query = {**START, "bounding_box": "0,0,0:9e9,9e9,9e9", "unit": "nm"}
        assert requests.get(f"{url}/plan", params=query, timeout=30).json()["chunks"] == posted["chunks"]
        refused = requests.get(f"{url}/plan", params={**query, "bounding_box": "1,2"}, timeout=30)
        assert (refused.status_code, "bounding_box" in refused.json()["message"]) == (400, True)


def test_a_run_of_a_new_ingest_is_not_named_without_resume(tmp_path: Path) -> None:
    with serve(Site(tmp_path).ingest, tmp_path) as url:
        answer = post(url, "/start", **START, run="20260601T000000-0_0_0-1_1_1")
        assert (answer.status_code, "resume" in answer.json()["message"]) == (400, True)


def test_the_status_says_what_is_retried_and_why_if_it_is_asked_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cache.volume.fail = failing(L2CacheError("odd"), (0, 0, 0), (1, 1, 1))
    site.start()
    site.drain()
    with serve(site.ingest, tmp_path) as url:
        plain = post(url, "/status", dataset=GRAPH_ID).json()
        assert "retrying" not in plain
        assert post(url, "/status", dataset=GRAPH_ID, retrying=True).json() == {
            **plain, "retrying_chunks": 0, "retrying": []
        }  # fmt: skip
        post(url, "/retry", dataset=GRAPH_ID)
        asked = post(url, "/status", dataset=GRAPH_ID, retrying=True).json()
        assert (asked["retrying_chunks"], asked["retrying"]) == (2, [{"reason": "odd", "chunks": 2}])
        site.cache.volume.fail = failing(L2CacheError("still odd"), (0, 0, 0))
        site.drain()
        ended = post(url, "/status", dataset=GRAPH_ID, retrying=True).json()
        assert (ended["failed_chunks"], ended["retrying_chunks"]) == (1, 0)


def test_the_overview_has_all_datasets_with_their_newest_runs_of_each_kind(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with serve(site.ingest, tmp_path) as url:
        (empty,) = post(url, "/overview").json()["datasets"]
        assert (empty["dataset"], empty["has_table"], empty["runs"]) == (GRAPH_ID, False, [])
        site.start(test=True)
        site.drain()
        site.clock.sleep(10)
        site.start()
        site.clock.sleep(10)
        post(url, "/audit", dataset=GRAPH_ID, timestamp=START["timestamp"])
        (listed,) = post(url, "/overview").json()["datasets"]
        all_runs = post(url, "/runs", dataset=GRAPH_ID).json()["runs"]
        assert (listed["has_table"], listed["older_runs"]) == (True, 1)
        assert listed["runs"] == all_runs[:0:-1]
        assert [run.get("kind") for run in listed["runs"]] == ["audit", None]
        (short,) = requests.get(f"{url}/overview", params={"newest": "0"}, timeout=30).json()["datasets"]
        assert (short["runs"], short["older_runs"]) == ([], 3)


def test_the_map_and_the_pace_follow_a_run_to_its_end(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cache.volume.fail = failing(L2CacheError("odd"), (0, 0, 0))
    site.start()
    with serve(site.ingest, tmp_path) as url:
        before = post(url, "/map", dataset=GRAPH_ID, cells=1).json()
        assert [before["along"]["x"][name] for name in ("done", "failed", "open")] == [[[0]], [[0]], [[CHUNKS]]]
        site.drain()
        seen = post(url, "/map", dataset=GRAPH_ID).json()["along"]["z"]
        assert (seen["columns"], seen["rows"], seen["failed"][0][0]) == ("x", "y", 1)
        assert (sum(map(sum, seen["done"])), sum(map(sum, seen["open"]))) == (CHUNKS - 1, 0)
        pace = post(url, "/pace", dataset=GRAPH_ID, steps=7).json()
        assert len(pace["chunks_per_s"]) == 7
