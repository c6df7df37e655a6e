"""Edits are served however many misses wait, on both stacks."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.local.backing import Backing, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.local.stack import LocalStack, ServedGraph
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from tests.support.graph.made_worlds import l2_ids_of
from tests.support.stack.client import start_ingest, status, wait_until
from tests.support.stack.edits_and_misses import edits, publish_misses, seconds_until_served, unknown_ids
from tests.support.stack.missing_emulators import skipping_without_emulators
from tests.support.stack.ports import take_free_ports

N_UNKNOWN, N_EDITS = 30_000, 20
IDS_PER_MESSAGE = 10
GOAL_P95_S = 5.0

World = tuple[Path, dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A made brain of its own for each test, since edits stay."""
    folder = tmp_path / "world"
    return folder, build(folder, WorldParameters(size_voxels=(150, 140, 130), chunk_size_voxels=(32, 32, 32)))


@contextlib.contextmanager
def halted(port: int) -> Iterator[None]:
    """Halts (SIGSTOP) all processes of the service at a port while the block lasts."""
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # processes end while they are listed
            if f"\0--port\0{port}\0" in (folder / "cmdline").read_text():
                processes.append(int(folder.name))
    assert processes
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("backing", [embedded, EmulatorBacking()], ids=["embedded", "emulators"])
def test_edits_are_served_although_no_miss_is(
    world: World, tmp_path: Path, backing: Backing, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, description = world
    known = l2_ids_of(folder)
    take_free_ports(tmp_path / "state")
    with ExitStack() as running:
        with skipping_without_emulators():
            graph = ServedGraph(TABLE, ("--world", str(folder)))
            stack = running.enter_context(LocalStack(tmp_path / "state", graph=graph, workers=1, backing=backing))
        for name, value in stack.services.environment.items():
            monkeypatch.setenv(name, value)
        start_ingest(stack.ingest_url, TABLE, test=True)
        wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "the test ingest, which makes the table")
        with halted(stack.ports["compute"]):
            for crowd in known, unknown_ids(folder, N_UNKNOWN):
                publish_misses(stack, crowd, IDS_PER_MESSAGE)
            made = edits(stack, description)
            seconds_until_served(stack, next(made))  # loads the compiled kernels
            times_s = [seconds_until_served(stack, new_ids) for new_ids in islice(made, N_EDITS)]
        print("seconds until served:", *(f"{seconds:.2f}" for seconds in times_s))
        assert np.percentile(times_s, 95) < GOAL_P95_S
        seconds_until_served(stack, known[:10].tolist())
