"""What plans of audits, exports and imports say, held by the simulation of these operations."""

from __future__ import annotations

import pytest

from infra.simulation.runs import Compared, operation_runs
from infra.simulation.table import RowCounts
from infra.simulation.world import Cloud
from shared.geometry.grid import Box
from shared.ingest.kind import RunKind

GRID, ROWS, WORKERS = (256, 128, 16), 420_000_000, 100


@pytest.fixture(scope="module")
def runs() -> dict[RunKind, tuple[Compared, Compared]]:
    return operation_runs(GRID, ROWS, Cloud(workers=WORKERS))


@pytest.mark.parametrize("kind", [RunKind.AUDIT, RunKind.EXPORT, RunKind.IMPORT])
def test_a_plan_says_what_the_operation_takes(runs: dict[RunKind, tuple[Compared, Compared]], kind: RunKind) -> None:
    done, planned = runs[kind]
    rows_off = planned.rows / done.rows
    assert rows_off == pytest.approx(1, abs=0.15)
    assert planned.leaves == done.leaves
    assert planned.core_hours / rows_off == pytest.approx(done.core_hours, rel=0.06)
    assert planned.wall_hours / rows_off == pytest.approx(done.wall_hours, rel=0.15)
    assert planned.cost_usd.keys() - {"reads"} == done.cost_usd.keys()
    assert planned.usd == pytest.approx(done.usd, rel=0.15)


def test_an_import_is_planned_by_the_manifest_of_the_export(
    runs: dict[RunKind, tuple[Compared, Compared]],
) -> None:
    (exported, _), (imported, planned) = runs[RunKind.EXPORT], runs[RunKind.IMPORT]
    assert planned.rows == imported.rows == exported.rows
    assert imported.leaves == exported.leaves


def test_faults_cost_time_and_lose_nothing(runs: dict[RunKind, tuple[Compared, Compared]]) -> None:
    rough = operation_runs(GRID, ROWS, Cloud(workers=WORKERS, failures=0.02, deaths=0.05))
    for kind, (done, _) in runs.items():
        assert rough[kind][0].rows == done.rows
        assert done.core_hours < rough[kind][0].core_hours < 1.3 * done.core_hours


def test_blocks_have_the_rows_of_their_chunks() -> None:
    rows = RowCounts((4, 3, 2), 24_000)
    halves = rows.of(Box((0, 0, 0), (2, 3, 2))) + rows.of(Box((2, 0, 0), (4, 3, 2)))
    assert halves == rows.total == pytest.approx(24_000, rel=0.5)
