"""What a plan says an ingest costs, for ten million chunks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.geometry.grid import Box
from shared.ingest.control import answers
from shared.ingest.control.plan import Plan, make_plan
from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.ledger import Ledger
from shared.ingest.run import Run
from shared.store.sqlite import SQLiteStore

CHUNK_VOXELS = (256, 256, 512)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    run = Run(
        "minnie65", "l2cache_minnie65", datetime(2026, 6, 1, tzinfo=UTC), Box((0, 0, 0), (752, 512, 26)), 512, 0.0
    )
    return make_plan(run, CHUNK_VOXELS, Ledger(SQLiteStore(tmp_path / "cache.db"), run.table_id), 4, 1000)


def test_records_of_the_tasks_are_among_the_costs(plan: Plan) -> None:
    tasks = plan.tasks.leaves + sum(plan.tasks.expand)
    assert plan.cost.logging == pytest.approx(tasks * 4096 / 2**30 * LIST_PRICES.log_gib)
    assert 0.01 < plan.cost.logging < 1


def test_what_is_not_the_runs_or_not_everybodys_is_told_apart_from_the_total(plan: Plan) -> None:
    said = answers.plan(plan)
    assert said["cost_usd"]["total"] == pytest.approx(sum(asdict(plan.cost).values()), abs=0.01)
    # 10 million chunks of 33.6 megavoxels are 18 TB of files
    assert said["cost_beside_usd"]["reads_across_regions"] == pytest.approx(17_518 * LIST_PRICES.region_gib, rel=0.01)
    assert said["cost_beside_usd"]["alerts_month"] == 7.5
