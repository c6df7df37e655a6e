"""Files of the volume that are damaged or exhaust the memory, under a whole stack.

An ingest ends with just their chunks failed, a message ends among the dead letters with the reason, and both are
completed once the files are mended.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import requests

from infra.local.backing import Places, Services, embedded
from infra.local.emulator_backing import DEAD_LETTERS, REPLAY, EmulatorBacking
from infra.local.stack import LocalStack, ServedGraph
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from l2cache.deadletters.commands import open_box
from l2cache.deadletters.letter import LetterBox
from shared.bus.open import open_bus
from shared.geometry.grid import as_triple
from shared.geometry.ids import chunk_coordinates
from shared.messages.messages import encode_misses
from shared.types import Triple, UInt64Array
from tests.support.graph.damaged_volumes import bursting, file_of, noise
from tests.support.graph.made_worlds import l2_ids_of
from tests.support.stack.client import answer, rows, start_ingest, status, wait_until
from tests.support.stack.kills import function_processes
from tests.support.stack.missing_emulators import skipping_without_emulators
from tests.support.stack.ports import take_free_ports
from tests.support.stack.whole_ingest import L2CACHE_ID

PARAMETERS = WorldParameters(size_voxels=(96, 64, 64), chunk_size_voxels=(32, 32, 32))
CORRUPT: Triple = (0, 0, 0)
BURSTING: Triple = (1, 1, 0)
OUTSIDE: Triple = (2, 1, 1)
FAR_CORNER = [offset + 64 for offset in PARAMETERS.voxel_offset]
PAUSE = timedelta(seconds=0.1)
MEMORY_BYTES = 3 * 2**30
REASONS = {
    CORRUPT: "the volume's file 16_16_40/1000-1032_2030-2062_305-337 is damaged (DamagedFileError)",
    BURSTING: "memory ran out while reading the chunk",
}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    build(folder, PARAMETERS)
    return folder


@contextlib.contextmanager
def embedded_without_pauses(places: Places) -> Iterator[Services]:
    """As `embedded`; what failed is delivered again at once, as it would be after minutes."""
    with embedded(places) as services:
        (dispatch,) = services.children
        pauses = ("--longest-pause-s", str(PAUSE.total_seconds()))
        yield replace(services, children=(replace(dispatch, arguments=(*dispatch.arguments, *pauses)),))


@pytest.fixture(params=[embedded_without_pauses, EmulatorBacking(longest_pause=PAUSE)], ids=["embedded", "emulators"])
def stack(
    request: pytest.FixtureRequest, intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalStack]:
    """A stack whose compute processes have little memory, over a copy of the world with two damaged files."""
    world, backing = Path(shutil.copytree(intact, tmp_path / "world")), request.param
    file_of(world, PARAMETERS, CORRUPT).write_bytes(noise())
    file_of(world, PARAMETERS, BURSTING).write_bytes(bursting(MEMORY_BYTES))
    take_free_ports(tmp_path / "state")
    graph = ServedGraph(TABLE, ("--world", str(world)))
    with contextlib.ExitStack() as running:
        with skipping_without_emulators():
            stack = running.enter_context(LocalStack(tmp_path / "state", graph=graph, workers=2, backing=backing))
        for name, value in stack.services.environment.items():
            monkeypatch.setenv(name, value)
        # Twice: a worker may be forked while its master has no limit yet, that is, before the second look.
        for _ in range(2):
            for pid in function_processes(os.getpid(), "compute"):
                resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        yield stack


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_damaged_files_cost_their_own_chunks_and_nothing_else(stack: LocalStack, intact: Path) -> None:
    l2_ids = l2_ids_of(intact)
    chunks = chunk_coordinates(l2_ids, PARAMETERS.layout)
    ingested, missed = l2_ids[chunks[:, 0] < 2], l2_ids[(chunks == OUTSIDE).all(axis=1)]

    start_ingest(stack.ingest_url, TABLE, bounding_box=[list(PARAMETERS.voxel_offset), FAR_CORNER])
    wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "the ingest", look_s=0.5)
    failed = answer(requests.get(f"{stack.ingest_url}/failed", params={"dataset": TABLE}, timeout=60))["failed"]
    assert {as_triple(one["chunk"]): one["reason"] for one in failed} == REASONS
    assert served(stack, l2_ids) == set(ingested.tolist()) - of_chunks(l2_ids, REASONS)

    publish_miss(stack, np.concatenate([l2_ids[(chunks == BURSTING).all(axis=1)], missed]))
    (letter,) = wait_until(lambda: letter_box(stack).letters(10), "the dead letter", look_s=0.5)
    assert letter.reason == REASONS[BURSTING]
    assert served(stack, missed) == set(missed.tolist())

    for chunk in REASONS:
        shutil.copyfile(file_of(intact, PARAMETERS, chunk), file_of(stack.state.parent / "world", PARAMETERS, chunk))
    assert letter_box(stack).replay((), 10) == 1
    wait_until(lambda: served(stack, l2_ids) >= of_chunks(l2_ids, [BURSTING]), "the replayed miss", look_s=0.5)
    answer(requests.post(f"{stack.ingest_url}/retry", json={"dataset": TABLE}, timeout=60))
    wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "the retry", look_s=0.5)
    assert status(stack.ingest_url, TABLE)["failed_chunks"] == 0
    assert served(stack, l2_ids) == set(ingested.tolist()) | set(missed.tolist())


def served(stack: LocalStack, l2_ids: UInt64Array) -> set[int]:
    """Those of some ids that have a row."""
    return set(rows(stack.services.store, L2CACHE_ID, l2_ids))


def of_chunks(l2_ids: UInt64Array, wanted: Iterable[Triple]) -> set[int]:
    chunks = chunk_coordinates(l2_ids, PARAMETERS.layout)
    return {int(l2_id) for l2_id, chunk in zip(l2_ids, chunks, strict=True) if as_triple(chunk) in set(wanted)}


def publish_miss(stack: LocalStack, l2_ids: UInt64Array) -> None:
    bus = open_bus(stack.services.bus)
    ((attributes, data),) = encode_misses(TABLE, L2CACHE_ID, l2_ids, 100_000)
    bus.publish(attributes, data)
    bus.close()


def letter_box(stack: LocalStack) -> LetterBox:
    """Where the dead letters of the stack are."""
    if stack.services.bus.startswith("sqlite:"):
        return open_box(str(stack.state / "deliveries.db"), 1.0)
    return open_box(DEAD_LETTERS.subscription, 1.0, REPLAY.path)
