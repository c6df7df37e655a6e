"""What large ingests promise, held by the simulation on the real planning code."""

from __future__ import annotations

import pytest

from infra.simulation.ingest import SimulatedIngest
from infra.simulation.world import Cloud
from shared.types import Triple

MINNIE65 = (752, 512, 26)


@pytest.mark.parametrize("grid", [(32, 32, 10), MINNIE65])
def test_fanning_out_never_limits_a_thousand_leaves(grid: Triple) -> None:
    outcome = SimulatedIngest(grid, Cloud(workers=1000)).run()
    assert outcome.idle < 0.02
    assert outcome.enqueued_s < 30
    assert outcome.overhead_share < 0.02
    assert outcome.marks < 50_000
    assert outcome.failed_chunks == 0
    if grid == MINNIE65:
        assert outcome.wall_s < 1.1 * outcome.ideal_s


@pytest.mark.parametrize("faults", [{"failures": 0.01}, {"deaths": 0.05}, {"failures": 0.02, "deaths": 0.02}])
def test_faults_cost_time_and_lose_nothing(faults: dict[str, float]) -> None:
    grid = (40, 40, 20)
    calm, rough = (SimulatedIngest(grid, Cloud(workers=200, **given)).run() for given in ({}, faults))
    assert rough.redelivered > 0
    assert rough.wall_s < 1.3 * calm.wall_s
    assert rough.failed_chunks < 0.001 * rough.chunks


def test_leaves_that_run_out_of_time_hand_on_and_the_run_still_ends() -> None:
    outcome = SimulatedIngest((32, 32, 10), Cloud(workers=20, budget_s=2.0)).run()
    unhurried = SimulatedIngest((32, 32, 10), Cloud(workers=20)).run()
    assert outcome.leaves > unhurried.leaves
    assert outcome.failed_chunks == 0


def test_queues_share_the_load() -> None:
    one, four = (
        SimulatedIngest((32, 32, 10), Cloud(workers=5000, queues=n, dispatches_per_s=10)).run() for n in (1, 4)
    )
    assert four.wall_s < 0.5 * one.wall_s
