"""Audits on a small cache, in process: what they find, what they repair, and what they leave alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.attributes import SIZE
from shared.errors import BadRequestError, L2CacheError, RunConflictError, TableNotFoundError, UnknownRunError
from shared.ingest.audit import Sample
from shared.ingest.control.operations import Operations
from shared.store.sqlite import SQLiteStore
from shared.store.table_format import Cell
from tests.support.features.rows import random_features
from tests.support.graph.small import GRAPH_ID, SUPERVOXELS_PER_CHUNK, TABLE_ID, failing, node_id
from tests.support.ingest_site import CHUNKS, Site

MOMENT = {"dataset": GRAPH_ID, "timestamp": "2026-06-01 00:00:00"}
A, B = (0, 0, 0), (1, 1, 1)


def operate(site: Site, name: str, **fields: Any) -> dict[str, Any]:
    return Operations(site.ingest, lambda: datetime(2026, 6, 2, tzinfo=UTC)).run(name, fields)


def audited(site: Site, **fields: Any) -> dict[str, Any]:
    """The status of an audit from start to end."""
    site.clock.sleep(1.0)
    run_id = operate(site, "audit", **MOMENT, **fields)["run_id"]
    site.drain()
    status = operate(site, "status", dataset=GRAPH_ID, run=run_id)
    assert (status["state"], status["completed_chunks"]) == ("finished", CHUNKS)
    return status


def remove(site: Site, *l2_ids: int) -> None:
    """Makes holes in a table."""
    store = site.cache.store
    assert isinstance(store, SQLiteStore)
    store._file.write(  # the store has no way to remove rows
        lambda connection: connection.executemany("DELETE FROM rows_1 WHERE l2_id = ?", [(one,) for one in l2_ids])
    )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A table that an ingest has filled."""
    site = Site(tmp_path)
    site.start()
    site.drain()
    return site


def counts(status: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in status["audit"].items() if isinstance(count, int) and count}


def test_a_whole_table_is_whole(site: Site) -> None:
    n = len(site.cache.graph.members)
    status = audited(site)
    assert counts(status) == {"l2_ids": n, "rows": n}
    assert (status["kind"], status["rows"]) == ("audit", 0)


def test_every_hole_is_found_and_nothing_else_and_a_repair_fills_them(site: Site) -> None:
    before = site.cache.rows()
    holes = np.random.default_rng(3).choice([*before], 5, replace=False).tolist()
    remove(site, *holes)
    n, reads = len(before), len(site.cache.volume.reads)
    assert counts(audited(site)) == {"l2_ids": n, "rows": n - 5, "missing": 5}
    assert len(site.cache.volume.reads) == reads, "no voxel is read for an audit"
    assert site.cache.rows().keys() == before.keys() - set(holes)
    repaired = audited(site, repair=True)
    assert counts(repaired) == {"l2_ids": n, "rows": n, "repaired": 5}
    assert repaired["rows"] == 5
    assert site.cache.rows() == before
    assert counts(audited(site)) == {"l2_ids": n, "rows": n}


def test_superseded_nodes_are_not_orphaned_and_those_that_the_graph_never_had_are(site: Site) -> None:
    graph = site.cache.graph
    graph.add(A, 7, range(1, 12))
    stranger = node_id(2, B, 30)
    site.cache.store.write_features(TABLE_ID, random_features(np.array([stranger], np.uint64)))
    ghost = graph.add(B, 8, {SUPERVOXELS_PER_CHUNK + 5})
    n = len(graph.members) - 2
    found = audited(site)
    assert counts(found) == {"l2_ids": n, "rows": n - 2, "missing": 2, "of_other_moments": 2, "orphaned": 1}
    repaired = counts(audited(site, repair=True))
    assert (repaired["repaired"], repaired["empty"], repaired.get("missing", 0)) == (2, 1, 0)
    assert site.cache.rows()[ghost][SIZE.name] == bytes(8)


def test_rows_that_differ_are_named_with_their_attributes(site: Site) -> None:
    n = len(site.cache.graph.members)
    assert counts(audited(site, verify=10 * n)) == {"l2_ids": n, "rows": n, "verified": n}
    changed = sorted(site.cache.graph.members)[3]
    value = site.cache.rows()[changed]["area_nm2"]
    cell = Cell(b"%020d" % changed, "0", "area_nm2", 1, bytes([value[0] ^ 1]) + value[1:])
    assert isinstance(site.cache.store, SQLiteStore)
    site.cache.store.put_cells(TABLE_ID, [cell])
    found = audited(site, verify=n)["audit"]
    assert (found["verified"], found["differing"]) == (n, 1)
    assert (found["differing_attributes"], found["differing_rows"]) == ({"area_nm2": 1}, [f"{changed}: area_nm2"])


def test_a_sample_is_the_same_for_a_run_and_has_each_row_with_the_same_probability() -> None:
    ids = np.arange(100_000, dtype=np.uint64) + np.uint64(node_id(2, A, 1))
    chosen = np.zeros(len(ids))
    for seed in range(20):
        sample = Sample(seed, 0.1)
        mine = sample(ids)
        assert np.array_equal(sample(ids), mine)
        assert abs(len(mine) - 10_000) < 500
        chosen += np.isin(ids, mine)
    # Twenty draws of a tenth: two on average, with a variance of 1.8 if they do not depend on each other.
    assert abs(chosen.mean() - 2.0) < 0.02
    assert abs(chosen.var() - 1.8) < 0.05


def test_an_audit_and_an_ingest_do_not_refuse_each_other_and_two_audits_do(site: Site) -> None:
    first = operate(site, "audit", **MOMENT)
    site.clock.sleep(1.0)
    ingest = operate(site, "start", dataset=GRAPH_ID, timestamp="2026-06-01 12:00:00")
    with pytest.raises(RunConflictError, match=first["run_id"]):
        operate(site, "audit", **MOMENT)
    assert operate(site, "status", dataset=GRAPH_ID)["run_id"] == ingest["run_id"]
    with pytest.raises(RunConflictError, match=ingest["run_id"]):
        operate(site, "start", dataset=GRAPH_ID, timestamp="2026-06-01 13:00:00")
    with pytest.raises(RunConflictError, match="no ingest"):
        operate(site, "fill", dataset=GRAPH_ID, run=first["run_id"])
    site.drain(twice=True)
    states = {one["run_id"]: one["state"] for one in operate(site, "runs", dataset=GRAPH_ID)["runs"]}
    assert len(states) == 3
    assert set(states.values()) == {"finished"}
    found = operate(site, "status", dataset=GRAPH_ID, run=first["run_id"])
    assert counts(found) == dict.fromkeys(("l2_ids", "rows"), len(site.cache.graph.members))


def test_an_audit_is_cancelled_resumed_and_its_failed_chunks_retried(site: Site) -> None:
    run_id = operate(site, "audit", **MOMENT)["run_id"]
    assert operate(site, "cancel", dataset=GRAPH_ID, run=run_id)["state"] == "cancelled"
    site.drain()
    assert operate(site, "status", dataset=GRAPH_ID, run=run_id)["completed_chunks"] == 0
    site.cache.graph.fail = failing(L2CacheError("odd"), A)
    operate(site, "start", dataset=GRAPH_ID, resume=True, run=run_id)
    site.drain()
    (failed,) = operate(site, "failed", dataset=GRAPH_ID, run=run_id)["failed"]
    assert failed == {"chunk": list(A), "reason": "odd"}
    site.cache.graph.fail = lambda _: None
    operate(site, "retry", dataset=GRAPH_ID, run=run_id)
    site.drain()
    status = operate(site, "status", dataset=GRAPH_ID, run=run_id)
    assert (status["failed_chunks"], status["generation"]) == (0, 2)
    assert status["audit"]["rows"] == len(site.cache.graph.members)


def test_what_fails_and_what_comes_twice_is_counted_once(site: Site) -> None:
    n = len(site.cache.graph.members)
    remove(site, sorted(site.cache.graph.members)[-1])
    site.clock.sleep(1.0)
    site.cache.graph.fail = failing(L2CacheError("gone"), A)
    run_id = operate(site, "audit", **MOMENT)["run_id"]
    site.drain(twice=True)
    site.cache.graph.fail = lambda _: None
    operate(site, "retry", dataset=GRAPH_ID, run=run_id)
    site.drain(twice=True)
    status = operate(site, "status", dataset=GRAPH_ID, run=run_id)
    assert counts(status) == {"l2_ids": n, "rows": n - 1, "missing": 1}


def test_coverage_tells_of_the_last_audit_by_blocks(site: Site) -> None:
    with pytest.raises(UnknownRunError, match="audited"):
        operate(site, "coverage", dataset=GRAPH_ID)
    hole = sorted(site.cache.graph.members)[0]
    remove(site, hole)
    status = audited(site)
    found = operate(site, "coverage", dataset=GRAPH_ID)
    blocks = found.pop("blocks")
    assert found == status
    assert sum(block["chunks"] for block in blocks) == CHUNKS
    assert {name: sum(block[name] for block in blocks) for name in ("l2_ids", "rows", "missing")} == {
        "l2_ids": 8, "rows": 7, "missing": 1
    }  # fmt: skip
    (with_hole,) = (block for block in blocks if block["missing"])
    assert all(low <= 0 < high for low, high in zip(with_hole["start"], with_hole["stop"], strict=True))


def pages(site: Site, **first: Any) -> list[dict[str, Any]]:
    """All pages of a coverage."""
    found = [operate(site, "coverage", dataset=GRAPH_ID, **first)]
    while after := found[-1]["next"]:
        found.append(operate(site, "coverage", dataset=GRAPH_ID, **{**first, "after": after}))
    return found


def test_pages_of_coverage_are_the_whole_of_it(site: Site) -> None:
    remove(site, node_id(2, B, 1))
    audited(site)
    whole = operate(site, "coverage", dataset=GRAPH_ID)
    n = len(whole["blocks"])
    assert n > 2
    for limit in range(1, n + 2):
        found = pages(site, limit=limit)
        assert [block for page in found for block in page["blocks"]] == whole["blocks"]
        assert len(found) == -(-n // limit)
        for page in found:
            assert {name: page[name] for name in page if name not in ("blocks", "next")} == {
                name: whole[name] for name in whole if name != "blocks"
            }
    rest = operate(site, "coverage", dataset=GRAPH_ID, after=pages(site, limit=1)[0]["next"])
    assert (rest["blocks"], rest["next"]) == (whole["blocks"][1:], "")


def test_pages_of_coverage_stay_with_the_audit_that_they_began_with(site: Site) -> None:
    status = audited(site)
    whole = operate(site, "coverage", dataset=GRAPH_ID)
    first = operate(site, "coverage", dataset=GRAPH_ID, limit=1)
    site.clock.sleep(1.0)
    newer = operate(site, "audit", **MOMENT)["run_id"]
    second = operate(site, "coverage", dataset=GRAPH_ID, after=first["next"])
    assert second["run_id"] == status["run_id"] != newer
    assert first["blocks"] + second["blocks"] == whole["blocks"]
    assert operate(site, "coverage", dataset=GRAPH_ID, limit=1)["run_id"] == newer


@pytest.mark.parametrize("after", ["x", "/", "x/", "/0_0_0-1_1_1", "RUN/", "RUN/x", "RUN/0_0_0-0_0_0", "x" * 5000])
def test_what_is_no_page_of_coverage_is_refused(site: Site, after: str) -> None:
    run_id = audited(site)["run_id"]
    with pytest.raises(BadRequestError, match=r"after|block"):
        operate(site, "coverage", dataset=GRAPH_ID, after=after.replace("RUN", run_id))
    with pytest.raises(UnknownRunError, match="audit-1"):
        operate(site, "coverage", dataset=GRAPH_ID, after="audit-1/0_0_0-1_1_1")
    with pytest.raises(BadRequestError, match="limit"):
        operate(site, "coverage", dataset=GRAPH_ID, limit=0)


def test_a_plan_of_an_audit_starts_nothing_and_costs_less_than_an_ingest(site: Site) -> None:
    planned = operate(site, "plan_audit", **MOMENT)
    verified = operate(site, "plan_audit", **MOMENT, verify=1000)
    assert (planned["kind"], planned["total_chunks"]) == ("audit", CHUNKS)
    assert verified["cost_usd"]["total"] >= planned["cost_usd"]["total"] > 0
    assert site.waiting() == 0
    with pytest.raises(UnknownRunError):
        operate(site, "coverage", dataset=GRAPH_ID)


def test_a_table_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(TableNotFoundError):
        operate(Site(tmp_path), "audit", **MOMENT)
