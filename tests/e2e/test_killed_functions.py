"""An ingest whose functions are killed at random while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.local.stack import GraphSource, LocalStack
from infra.local.world.build import build
from infra.local.world.parameters import TABLE, WorldParameters
from shared.store.sqlite import SQLiteStore
from tests.e2e.kills import random_kills, take_free_ports
from tests.e2e.stack_client import start_ingest, status, wait_until

L2CACHE_ID = f"l2cache_{TABLE}_v1"


def rows_after_ingest(world: Path, state: Path, every_s: float | None) -> tuple[dict[tuple[bytes, str], bytes], int]:
    """All rows at the end of an ingest, and how many processes were killed while it ran."""
    take_free_ports(state)
    with LocalStack(state, graph=GraphSource(TABLE, ("--world", str(world))), workers=2) as stack:
        start_ingest(stack.ingest_url, TABLE)
        with random_kills(os.getpid(), every_s or 1e6) as killed:
            wait_until(lambda: _finished(stack.ingest_url), "the end of the ingest")
        assert status(stack.ingest_url, TABLE)["failed_chunks"] == 0
    store = SQLiteStore(state / "cache.db")
    cells = {(cell.row_key, cell.qualifier): cell.value for cell in store.cells(L2CACHE_ID) if cell.row_key.isdigit()}
    store.close()
    return cells, len(killed)


def _finished(url: str) -> bool:
    try:
        return bool(status(url, TABLE)["finished"])
    except OSError:  # the ingest function was just killed
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_killed_functions_leave_the_rows_of_an_undisturbed_run(tmp_path: Path) -> None:
    world = tmp_path / "world"
    build(world, WorldParameters(size_voxels=(160, 160, 96), chunk_size_voxels=(16, 16, 16)))
    calm, _ = rows_after_ingest(world, tmp_path / "calm", None)
    rough, kills = rows_after_ingest(world, tmp_path / "rough", 1.5)
    assert kills >= 1
    assert rough == calm
