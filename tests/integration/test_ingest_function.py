"""The ingest function on a small world: HTTP in, tasks out, the test works them off."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from shared.errors import L2CacheError
from shared.ingest.control.operations import OPERATIONS, Operations
from tests.support.graph.small import GRAPH_ID, failing
from tests.support.ingest_server import serve
from tests.support.ingest_site import CHUNKS, Site

START = {"dataset": GRAPH_ID, "timestamp": "2026-06-01 00:00:00"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def url(site: Site, tmp_path: Path) -> Iterator[str]:
    """The function's own routes over the site's service, on loopback."""
    with serve(site.ingest, tmp_path) as address:
        yield address


def post(url: str, path: str, **document: Any) -> requests.Response:
    return requests.post(f"{url}{path}", json=document, timeout=30)


def test_a_run_from_plan_to_end(site: Site, url: str) -> None:
    plan = post(url, "/plan", **START).json()
    assert (plan["total_chunks"], plan["leaf_tasks"], plan["expand_tasks"]) == (CHUNKS, CHUNKS, [1])
    assert plan["cost_usd"]["total"] > 0
    assert plan["cost_usd"]["logging"] >= 0
    assert plan["cost_beside_usd"] == {"reads_across_regions": 0.0, "alerts_month": 7.5}
    assert requests.get(f"{url}/runs", params={"dataset": GRAPH_ID}, timeout=30).status_code == 404
    started = post(url, "/start", **START)
    assert (started.status_code, started.json()["state"]) == (200, "running")
    assert post(url, "/start", **START).status_code == 409
    site.drain()
    status = requests.get(f"{url}/status", params={"dataset": GRAPH_ID}, timeout=30).json()
    assert (status["state"], status["completed_chunks"], status["time_left_s"]) == ("finished", CHUNKS, 0)
    assert post(url, "/fill", dataset=GRAPH_ID).json() == status  # its rows lack no attribute
    assert [run["run_id"] for run in post(url, "/runs", dataset=GRAPH_ID).json()["runs"]] == [status["run_id"]]
    assert "of this table" in post(url, "/plan", **START).json()["rates"]["origin"]


def test_every_operation_can_be_called_at_the_root(site: Site, url: str) -> None:
    assert post(url, "/", operation="start", **START).json()["state"] == "running"
    assert post(url, "/", operation="status", dataset=GRAPH_ID).json()["total_chunks"] == CHUNKS
    assert post(url, "/", operation="cancel", dataset=GRAPH_ID).json()["state"] == "cancelled"
    assert post(url, "/", operation="failed", dataset=GRAPH_ID).json() == {"failed": [], "next": ""}
    for wrong in ({}, {"operation": "dance"}, {"operation": 5}):
        answer = post(url, "/", **wrong)
        assert answer.status_code == 400
        assert "start" in answer.json()["message"]


DIGITS = "1" * 5000


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("failed", {"limit": DIGITS}),
        ("failed", {"limit": "0" * 5000}),
        ("failed", {"after": f"0_0_0-1_1_1.{DIGITS}"}),
        ("failed", {"after": f"{DIGITS}_0_0-1_1_1.1"}),
        ("plan", {"concurrency": DIGITS}),
    ],
)
def test_numbers_of_thousands_of_digits_are_refused_briefly(
    site: Site, url: str, operation: str, fields: dict[str, str]
) -> None:
    post(url, "/start", **START)
    asked = [post(url, f"/{operation}", dataset=GRAPH_ID, **fields)]
    if operation == "failed":
        asked.append(requests.get(f"{url}/failed", params={"dataset": GRAPH_ID, **fields}, timeout=30))
    for answer in asked:
        assert (answer.status_code, answer.json()["code"]) == (400, 400)
        assert next(iter(fields)) in answer.json()["message"]
        assert len(answer.text) < 500


def test_deep_nesting_is_refused_in_every_field_of_every_operation(url: str) -> None:
    nested = "[" * 1000 + "]" * 1000
    fields = ("dataset", "run", "limit", "after", "resume", "bounding_box", "timestamp", "unit")
    operations = [operation.name for operation in OPERATIONS]
    with requests.Session() as session:
        for operation, field in itertools.product(operations, fields):
            for path, name in ((f"/{operation}", ""), ("/", f'"operation": "{operation}",')):
                answer = session.post(f"{url}{path}", data=f'{{{name} "{field}": {nested}}}', timeout=30)
                assert (answer.status_code, answer.json()["code"]) == (400, 400)
                assert "nested too deeply" in answer.json()["message"]


def test_a_cancelled_run_does_nothing_until_it_is_resumed(site: Site, url: str) -> None:
    post(url, "/start", **START)
    post(url, "/cancel", dataset=GRAPH_ID)
    site.drain()
    assert site.cache.volume.reads == []
    assert post(url, "/start", **START).status_code == 409
    assert post(url, "/retry", dataset=GRAPH_ID).status_code == 409
    assert post(url, "/fill", dataset=GRAPH_ID).status_code == 409
    assert post(url, "/start", dataset=GRAPH_ID, resume=True).json()["state"] == "running"
    site.drain()
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS


def test_resuming_skips_what_is_done_and_makes_old_tasks_obsolete(site: Site, url: str) -> None:
    post(url, "/start", **START)
    site.deliver(site.deliveries.lease(1, site.clock.now_s * 2)[0])
    (first, *_) = site.deliveries.lease(3, site.clock.now_s * 2)
    site.deliver(first)
    assert len(site.cache.volume.reads) == 1
    resumed = post(url, "/start", **START, resume=True).json()
    assert (resumed["generation"], resumed["completed_chunks"]) == (1, 1)
    site.deliveries.release_leases()
    site.drain()
    assert site.ingest.status(GRAPH_ID).finished
    assert sorted(site.cache.volume.reads) == sorted(set(site.cache.volume.reads))


def test_failures_are_listed_by_page_and_only_they_are_retried(site: Site, url: str) -> None:
    broken = [(0, 0, 0), (1, 1, 1), (2, 1, 0)]
    site.cache.volume.fail = failing(L2CacheError("odd"), *broken)
    post(url, "/start", **START)
    site.drain()
    found, after = [], ""
    while not found or after:
        page = post(url, "/failed", dataset=GRAPH_ID, limit=2, after=after).json()
        assert len(page["failed"]) <= 2
        found += [(tuple(one["chunk"]), one["reason"]) for one in page["failed"]]
        after = page["next"]
    assert sorted(found) == [(chunk, "odd") for chunk in broken]
    site.cache.volume.fail = failing(L2CacheError("still odd"), (0, 0, 0))
    site.cache.volume.reads.clear()
    assert post(url, "/retry", dataset=GRAPH_ID).json()["state"] == "running"
    site.drain()
    assert sorted(site.cache.volume.reads) == [(1, 1, 1), (2, 1, 0)]
    status = post(url, "/status", dataset=GRAPH_ID).json()
    assert (status["state"], status["failed_chunks"]) == ("finished", 1)


@pytest.mark.parametrize(
    ("path", "document", "named"),
    [
        ("/start", {"dataset": "nope"}, "nope"),
        ("/start", {**START, "timestamp": "2999-01-01 00:00:00"}, "future"),
        ("/start", {**START, "bounding_box": [[0, 0, 0], [1, 1, 1]]}, "outside"),
        ("/start", {**START, "resume": "yes"}, "resume"),
        ("/start", {**START, "create": 1}, "create"),
        ("/plan", {**START, "concurrency": 0}, "concurrency"),
        ("/plan", {**START, "colour": 0}, "colour"),
        ("/status", {}, "dataset"),
        ("/status", {"dataset": GRAPH_ID, "limit": 5}, "limit"),
        ("/failed", {"dataset": GRAPH_ID, "limit": "many"}, "limit"),
        ("/cancel", {"dataset": GRAPH_ID, "run": 5}, "run"),
    ],
)
def test_wrong_arguments_are_answered_400_and_named(url: str, path: str, document: dict[str, Any], named: str) -> None:
    answer = post(url, path, **document)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


def test_a_missing_table_is_not_made_against_the_operators_will(site: Site, url: str) -> None:
    assert post(url, "/start", **START, create=False).status_code == 404
    assert site.waiting() == 0


def test_reading_operations_take_a_query_and_changing_ones_do_not(url: str) -> None:
    post(url, "/start", **START)
    assert requests.get(f"{url}/failed", params={"dataset": GRAPH_ID, "limit": "3"}, timeout=30).ok
    assert requests.get(f"{url}/cancel", params={"dataset": GRAPH_ID}, timeout=30).status_code == 405


def test_a_task_that_is_none_is_acknowledged(url: str) -> None:
    assert requests.post(f"{url}/expand", data=b"nonsense", timeout=30).status_code == 204


def test_operations_know_the_present_moment(site: Site) -> None:
    operations = Operations(site.ingest, lambda: datetime(2026, 5, 1, tzinfo=UTC))
    with pytest.raises(L2CacheError, match="future"):
        operations.run("start", START)


def test_browsers_get_a_page_at_the_root_and_all_others_what_they_always_got(url: str) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = requests.get(f"{url}/", headers=browser, timeout=30)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for asset in re.findall(r'(?:src|href)="(assets/[^"]+)"', page.text):
        assert requests.get(f"{url}/{asset}", timeout=30).status_code == 200
    for accepted in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        other = requests.get(f"{url}/", headers=accepted, timeout=30)
        assert (other.status_code, other.headers["Allow"]) == (405, "OPTIONS, POST")
        assert other.json() == {"code": 405, "message": "this path does not understand that method"}
        assert other.headers["Link"].startswith("</openapi.json>")
