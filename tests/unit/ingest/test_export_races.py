"""Export tasks that are delivered twice at once while rows change: the manifest is true of the files that stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.files.open import Folders
from shared.files.protocol import Folder
from shared.ingest.export import MANIFEST
from shared.sqlite.delivery import Lease
from tests.support.features.rows import random_features
from tests.support.graph.small import GEOMETRY, GRAPH_ID, TABLE_ID
from tests.support.ingest_site import MOMENT, Site
from tests.unit.ingest.test_closing import KilledError, leaf_tasks
from tests.unit.ingest.test_export import (
    FOLDER,
    address,
    ended,
    exported,
    files,
    ingested,
    manifest,
    operate,
    other_site,
)

A = (0, 0, 0)
BEFORE, AFTER, AFTER_AND_KILLED = "before it puts its file", "after that", "after that, and it is killed"


@dataclass(frozen=True)
class Interrupted:
    """A folder that does something else before or after a file of that ending is put."""

    folder: Folder
    suffix: str
    before: Callable[[], None]
    after: Callable[[], None]

    def write(self, name: str, content: bytes) -> None:
        self._around(name, lambda: self.folder.write(name, content))

    def create(self, name: str, content: bytes) -> bool:
        return bool(self._around(name, lambda: self.folder.create(name, content)))

    def read(self, name: str) -> bytes | None:
        return self.folder.read(name)

    def names(self) -> list[str]:
        return self.folder.names()

    def _around(self, name: str, put: Callable[[], object]) -> object:
        if not name.endswith(self.suffix):
            return put()
        self.before()
        done = put()
        self.after()
        return done


@dataclass(frozen=True)
class InterruptedFolders(Folders):
    suffix: str = ".parquet"
    before: Callable[[], None] = field(default=lambda: None)
    after: Callable[[], None] = field(default=lambda: None)

    def open(self, address: str) -> Folder:
        return Interrupted(super().open(address), self.suffix, self.before, self.after)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A table that an ingest has filled; then an edit made a node that has no row yet."""
    site = ingested(tmp_path / "here")
    site.clock.sleep(1.0)
    site.cache.graph.add(A, 7, range(1, 12))
    return site


def task_of_the_edited_chunk(site: Site) -> Lease:
    """Its lease, after all other tasks were done."""
    edited, others = [], []
    for lease in leaf_tasks(site):
        (edited if json.loads(lease.body)["block"].startswith("0_0_0-") else others).append(lease)
    for lease in others:
        site.deliver(lease)
    (task,) = edited
    return task


@contextmanager
def interrupting(site: Site, when: str, other: Callable[[], None], suffix: str = ".parquet") -> Iterator[None]:
    """Deliveries during which another thing happens, once, at that moment of theirs."""
    leaf, others = site.leaf, [other]

    def interrupt() -> None:
        site.leaf = leaf
        if not others:
            return
        others.pop()()
        if when == AFTER_AND_KILLED:
            raise KilledError

    moment = {"before" if when == BEFORE else "after": interrupt}
    folders = InterruptedFolders(site.ingest.folders.allowed, suffix, **moment)
    site.leaf = replace(leaf, computer=replace(site.cache.service, folders=folders))
    yield
    site.leaf = leaf


def check(site: Site, run_id: str, elsewhere: Path) -> dict[str, Any]:
    """The status of an export, which is true of its files, and which can be imported."""
    status, told, found = operate(site, "status", run=run_id), manifest(site), files(site)
    assert {file["name"]: (file["sha256"], file["bytes"]) for file in told["files"]} == {
        name: (sha256(content).hexdigest(), len(content))
        for name, content in found.items()
        if name.endswith(".parquet")
    }
    elsewhere.mkdir()
    there = other_site(site, elsewhere)
    done = ended(there, operate(there, "import", source=address(site))["run_id"])
    assert (done["state"], done["failed_chunks"]) == ("finished", 0)
    assert len(there.cache.rows()) == told["rows"] == status["rows"] == sum(file["rows"] for file in told["files"])
    return status


@pytest.mark.parametrize("when", [BEFORE, AFTER, AFTER_AND_KILLED])
@pytest.mark.parametrize("at_moment", [False, True])
def test_of_two_deliveries_that_read_other_rows_one_file_stands_and_the_manifest_tells_of_it(
    site: Site, tmp_path: Path, when: str, at_moment: bool
) -> None:
    timestamp = {"timestamp": f"{MOMENT:%Y-%m-%d %H:%M:%S}"} if at_moment else {}
    run_id = operate(site, "export", destination=address(site), **timestamp)["run_id"]
    task, before = task_of_the_edited_chunk(site), set(site.cache.rows())
    missing_ids = set(site.cache.graph.l2_ids_at([A], MOMENT)[0].tolist()) - before
    assert len(missing_ids) == 1

    def other_delivery() -> None:
        site.cache.store.write_features(TABLE_ID, random_features(np.array(list(missing_ids), np.uint64)))
        site.deliver(task)

    with interrupting(site, when, other_delivery), suppress(KilledError):
        site.deliver(task)
    site.deliver(task)
    status = check(site, run_id, tmp_path / "there")
    nodes = sum(map(len, site.cache.graph.l2_ids_at(list(np.ndindex(GEOMETRY.grid_shape)), MOMENT)))
    assert status["export"]["missing"] == (nodes - status["rows"] if at_moment else 0)


@pytest.mark.parametrize("at_moment", [False, True])
def test_a_delivery_that_comes_to_itself_after_the_end_changes_nothing(
    site: Site, tmp_path: Path, at_moment: bool
) -> None:
    timestamp = {"timestamp": f"{MOMENT:%Y-%m-%d %H:%M:%S}"} if at_moment else {}
    run_id = operate(site, "export", destination=address(site), **timestamp)["run_id"]
    task, seen = task_of_the_edited_chunk(site), dict[str, bytes]()

    def rest_of_the_run() -> None:
        operate(site, "cancel", run=run_id)
        operate(site, "start", resume=True, run=run_id)
        site.cache.service.compute_nodes(GRAPH_ID, site.cache.graph.l2_ids_at([A], MOMENT)[0])
        ended(site, run_id)
        seen.update(files(site))

    with interrupting(site, BEFORE, rest_of_the_run):
        site.deliver(task)
    check(site, run_id, tmp_path / "there")
    assert files(site) == seen


def test_a_manifest_that_is_late_does_not_stand_in_the_place_of_a_newer_one(site: Site, tmp_path: Path) -> None:
    run_id = operate(site, "export", destination=address(site))["run_id"]
    *others, last = leaf_tasks(site)
    foreign = site.folder / FOLDER / f"{json.loads(others[0].body)['block']}.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"no Parquet")
    for lease in others:
        site.deliver(lease)

    def retry() -> None:
        assert operate(site, "status", run=run_id)["failed_chunks"] > 0
        foreign.unlink()
        operate(site, "retry", run=run_id)
        site.drain()
        assert manifest(site)["failed"] == []

    with interrupting(site, BEFORE, retry, MANIFEST):
        site.deliver(last)
    assert manifest(site)["failed"] == []
    check(site, run_id, tmp_path / "there")


def test_a_file_of_something_else_fails_its_block_until_it_is_gone(site: Site) -> None:
    exported(site)
    name = manifest(site)["files"][0]["name"]
    for foreign in (files(site)[name], b"no Parquet"):
        site.clock.sleep(1.0)
        folder = f"exports/{sha256(foreign).hexdigest()}"
        run_id = operate(site, "export", destination=address(site, folder), attributes="size_nm3")["run_id"]
        path = site.folder / folder / name
        path.parent.mkdir()
        path.write_bytes(foreign)
        ended(site, run_id)
        (failed,) = json.loads(files(site, folder)["manifest.json"])["failed"]
        assert "is of something else" in failed["reason"]
        assert path.read_bytes() == foreign
        path.unlink()
        operate(site, "retry", run=run_id)
        assert ended(site, run_id)["failed_chunks"] == 0
