"""An ingest whose functions are killed at random while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.backing import Backing, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.standin.world.build import build
from infra.standin.world.parameters import WorldParameters
from tests.support.stack.missing_emulators import skipping_without_emulators
from tests.support.stack.whole_ingest import ingest

KILL_EVERY_S = 0.8


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made volume of 1,440 chunks."""
    folder = tmp_path_factory.mktemp("world") / "world"
    build(folder, WorldParameters(size_voxels=(192, 192, 160), chunk_size_voxels=(16, 16, 16)))
    return folder


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("backing", [embedded, EmulatorBacking()], ids=["embedded", "emulators"])
def test_killed_functions_leave_the_rows_of_an_undisturbed_run(world: Path, tmp_path: Path, backing: Backing) -> None:
    with skipping_without_emulators():
        calm = ingest(world, tmp_path / "calm", 2, backing)
    rough = ingest(world, tmp_path / "rough", 2, backing, KILL_EVERY_S)
    assert calm.kills == 0 < rough.kills
    assert len(calm.cells) > 8 * 1440
    assert rough.cells == calm.cells
