"""An ingest whose functions are killed at random while it runs. `make soak` kills for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.backing import Backing, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.standin.world.build import build
from infra.standin.world.parameters import WorldParameters
from tests.support.stack.missing_emulators import skipping_without_emulators
from tests.support.stack.whole_ingest import Ingested, ingest

KILL_EVERY_S = 0.8
MOST_KILLS = 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made volume of 720 chunks."""
    folder = tmp_path_factory.mktemp("world") / "world"
    build(folder, WorldParameters(size_voxels=(192, 96, 160), chunk_size_voxels=(16, 16, 16)))
    return folder


@pytest.fixture(scope="module")
def calm(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """An undisturbed ingest of it; rows do not depend on what holds them."""
    return ingest(world, tmp_path_factory.mktemp("calm"), 2, embedded)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("backing", [embedded, EmulatorBacking()], ids=["embedded", "emulators"])
def test_killed_functions_leave_the_rows_of_an_undisturbed_run(
    world: Path, calm: Ingested, tmp_path: Path, backing: Backing
) -> None:
    with skipping_without_emulators():
        rough = ingest(world, tmp_path, 2, backing, KILL_EVERY_S, MOST_KILLS)
    assert calm.kills == 0 < rough.kills
    assert len(calm.cells) > 8 * 720
    assert rough.cells == calm.cells
