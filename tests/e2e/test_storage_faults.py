"""An ingest of the embedded stack whose disk is full, or whose deliveries are locked, for a while."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.backing import Places, Services, embedded
from infra.local.stack import LocalStack
from infra.standin.world.build import build
from infra.standin.world.parameters import WorldParameters
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Counts
from tests.support.stack.client import wait_until
from tests.support.stack.small_disk import full, small_disk
from tests.support.stack.whole_ingest import Ingested, ingest

FAULT_S = 4.0
DISK_MEBIBYTES = 64


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made volume of 1,440 chunks."""
    folder = tmp_path_factory.mktemp("world") / "world"
    build(folder, WorldParameters(size_voxels=(192, 192, 160), chunk_size_voxels=(16, 16, 16)))
    return folder


@pytest.fixture(scope="module")
def calm(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """An ingest that nothing disturbs."""
    return ingest(world, tmp_path_factory.mktemp("calm") / "state", 2, embedded)


def test_an_ingest_goes_on_by_itself_after_a_full_disk(world: Path, calm: Ingested, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", DISK_MEBIBYTES) as disk:

        @contextmanager
        def fill(stack: LocalStack) -> Iterator[None]:
            with full(disk):
                time.sleep(FAULT_S)
            yield
            wait_until(lambda: nothing_is_left(stack), "all deliveries to be over")

        rough = ingest(world, disk / "state", 2, embedded, fault=fill)
    assert rough.seconds > FAULT_S
    assert rough.cells == calm.cells


@contextmanager
def impatient(places: Places) -> Iterator[Services]:
    """The embedded backing, with a dispatcher that soon loses patience with a locked file."""
    with embedded(places) as services:
        (dispatcher,) = services.children
        hasty = replace(dispatcher, arguments=(*dispatcher.arguments, "--deadline-s", "0.2"))
        yield replace(services, children=(hasty,))


def test_an_ingest_goes_on_by_itself_after_its_deliveries_were_locked(
    world: Path, calm: Ingested, tmp_path: Path
) -> None:
    @contextmanager
    def lock(stack: LocalStack) -> Iterator[None]:
        other = sqlite3.connect(stack.state / "deliveries.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(FAULT_S)
        assert "deliveries are unavailable" in (stack.state / "logs" / "dispatch.log").read_text()
        other.close()
        yield
        wait_until(lambda: nothing_is_left(stack), "all deliveries to be over")

    rough = ingest(world, tmp_path, 2, impatient, fault=lock)
    assert rough.cells == calm.cells


def nothing_is_left(stack: LocalStack) -> bool:
    deliveries = Deliveries(stack.state / "deliveries.db")
    counts = deliveries.counts().values()
    deliveries.close()
    return all(count == Counts(done=count.done) for count in counts)
