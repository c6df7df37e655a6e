"""A mark that cannot be read hides no other: it is logged, listed, and can be dismissed."""

import logging
from pathlib import Path

import pytest

from shared.errors import RunConflictError, UnknownRunError
from shared.ingest.control.operations import Operations
from tests.support.graph.small import GRAPH_ID, TABLE_ID
from tests.support.ingest_site import CHUNKS, Site

# As a former version wrote the moment 0226-06-01.
BROKEN = "2260601T000000-0_0_0-3_2_3"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.start()
    site.drain()
    site.cache.store.write_marks(TABLE_ID, {f"run/{BROKEN}": b'{"timestamp": "226-06-01 00:00:00"}'})
    return site


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("l2cache"), "propagate", True)
    return caplog


def test_every_operation_goes_on(site: Site) -> None:
    operations = Operations(site.ingest)
    for name in ("status", "failed", "retry", "fill", "cancel", "plan"):
        operations.run(name, {"dataset": GRAPH_ID})
    started = operations.run("start", {"dataset": GRAPH_ID, "timestamp": "2026-06-02"})
    operations.run("cancel", {"dataset": GRAPH_ID, "run": started["run_id"]})
    operations.run("start", {"dataset": GRAPH_ID, "resume": True, "run": started["run_id"]})
    site.drain()
    assert operations.run("status", {"dataset": GRAPH_ID})["completed_chunks"] == CHUNKS


def test_it_is_listed_until_it_is_dismissed_by_its_name(site: Site) -> None:
    operations = Operations(site.ingest)
    listed = operations.run("runs", {"dataset": GRAPH_ID})
    assert [run["state"] for run in listed["runs"]] == ["finished"]
    assert [(run["run_id"], run["state"]) for run in listed["unreadable"]] == [(BROKEN, "unreadable")]
    with pytest.raises(UnknownRunError, match="cannot be read"):
        operations.run("status", {"dataset": GRAPH_ID, "run": BROKEN})
    assert operations.run("cancel", {"dataset": GRAPH_ID, "run": BROKEN})["state"] == "dismissed"
    assert operations.run("runs", {"dataset": GRAPH_ID})["unreadable"] == []
    with pytest.raises(UnknownRunError, match="has no run"):
        operations.run("cancel", {"dataset": GRAPH_ID, "run": BROKEN})


def test_it_is_logged_with_its_key(site: Site, records: pytest.LogCaptureFixture) -> None:
    site.ingest.runs(GRAPH_ID)
    (record,) = [record for record in records.records if record.getMessage() == "mark cannot be read"]
    assert record.fields["mark"] == f"run/{BROKEN}"  # type: ignore[attr-defined]


NO_LIST = b'{"nodes": 1, "busy_s": 1, "finished_s": 1, "generation": 0, "failed": {}, "attributes": 5}'


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"null", b'{"nodes": 1}', b'{"failed": []}', b"\xff", NO_LIST])
def test_chunks_of_a_mark_of_progress_that_cannot_be_read_count_as_open(tmp_path: Path, value: bytes) -> None:
    site = Site(tmp_path)
    run = site.start()
    site.drain()
    done = site.cache.store.read_marks(TABLE_ID, f"done/{run.run_id}/")
    broken = next(iter(done))
    site.cache.store.write_marks(TABLE_ID, {broken: value, broken.replace("done", "doing").partition(":")[0]: value})
    status = site.ingest.status(GRAPH_ID)
    assert not status.finished
    assert 0 < status.completed_chunks < CHUNKS
    site.ingest.resume(GRAPH_ID)
    site.drain()
    assert site.ingest.status(GRAPH_ID).finished


def test_leaves_of_a_run_whose_mark_broke_go_on_until_it_is_dismissed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    run = site.start()
    site.cache.store.write_marks(TABLE_ID, {f"run/{run.run_id}": b"?", "head/run": b"?"})
    (root,) = site.deliveries.lease(1, site.clock.now_s * 2)
    site.deliver(root)
    (leaf,) = site.deliveries.lease(1, site.clock.now_s * 2)
    assert site.leaf.compute_block(leaf.body).chunks
    site.ingest.cancel(GRAPH_ID, run.run_id)
    (leaf,) = site.deliveries.lease(1, site.clock.now_s * 2)
    assert not site.leaf.compute_block(leaf.body).chunks


def test_a_head_that_cannot_be_read_does_not_let_two_runs_go_on(site: Site) -> None:
    site.start(timestamp="2026-06-02")
    site.cache.store.write_marks(TABLE_ID, {"head/run": b"?"})
    with pytest.raises(RunConflictError, match="going on"):
        site.start(timestamp="2026-06-03")


def test_a_start_that_died_before_it_wrote_its_run_is_known_by_the_head(site: Site) -> None:
    run = site.start(timestamp="2026-06-02")
    site.cache.store.write_marks(TABLE_ID, {f"run/{run.run_id}": None})
    with pytest.raises(RunConflictError, match="going on"):
        site.start(timestamp="2026-06-03")
    assert site.ingest.status(GRAPH_ID).run == run
