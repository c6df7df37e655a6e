"""Exports whose status nobody asks for: the leaf that comes last writes the manifest, whatever happens beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shared.errors import FolderError, StorageUnavailableError, TransientError
from shared.files.open import Folders
from shared.files.protocol import Folder
from shared.ingest.export import MANIFEST
from shared.sqlite.delivery import Lease
from tests.support.ingest_site import Site
from tests.unit.ingest.test_export import FOLDER, address, operate
from tests.unit.ingest.test_forged_tasks import HUGE, forged


class KilledError(BaseException):
    """What ends a process ends a test's delivery."""


@dataclass(frozen=True)
class Faulty:
    """A folder some of whose files cannot be written as long as there are faults left."""

    folder: Folder
    faults: list[BaseException]
    suffix: str

    def write(self, name: str, content: bytes) -> None:
        self._perhaps_fail(name)
        self.folder.write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        self._perhaps_fail(name)
        return self.folder.create(name, content)

    def read(self, name: str) -> bytes | None:
        return self.folder.read(name)

    def names(self) -> list[str]:
        return self.folder.names()

    def _perhaps_fail(self, name: str) -> None:
        if name.endswith(self.suffix) and self.faults:
            raise self.faults.pop(0)


@dataclass(frozen=True)
class FaultyFolders(Folders):
    faults: list[BaseException] = field(default_factory=list)
    suffix: str = MANIFEST

    def open(self, address: str) -> Folder:
        return Faulty(super().open(address), self.faults, self.suffix)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A table that an ingest has filled, with files of a few chunks each."""
    site = Site(tmp_path)
    site.ingest = replace(site.ingest, rows_per_file=4)
    site.start()
    site.drain()
    site.clock.sleep(1.0)
    return site


def break_files(site: Site, *faults: BaseException, suffix: str = MANIFEST) -> None:
    """Makes writing files of that ending fail, so many times."""
    folders = FaultyFolders(site.ingest.folders.allowed, list(faults), suffix)
    site.leaf = replace(site.leaf, computer=replace(site.cache.service, folders=folders))


def export(site: Site) -> str:
    run_id: str = operate(site, "export", destination=address(site))["run_id"]
    return run_id


def manifest(site: Site) -> bytes | None:
    path = site.folder / FOLDER / MANIFEST
    return path.read_bytes() if path.exists() else None


def leaf_tasks(site: Site) -> list[Lease]:
    """The leaf tasks of what was started, whose expand tasks are done."""
    found: list[Lease] = []
    now_s = 2e9
    while leases := site.deliveries.lease(8, now_s):
        for lease in leases:
            if lease.kind == "ingest":
                site.deliver(lease)
            else:
                found.append(lease)
            site.deliveries.acknowledge([lease.id])
    return found


def test_the_last_leaf_writes_the_manifest_and_none_before_it(site: Site) -> None:
    run_id = export(site)
    *others, last = leaf_tasks(site)
    for lease in others:
        site.deliver(lease)
        assert manifest(site) is None
    site.deliver(last)
    written = manifest(site)
    assert written is not None
    assert len(json.loads(written)["files"]) == len(others) + 1
    assert operate(site, "status", run=run_id)["manifest"] == f"{address(site)}/{MANIFEST}"
    assert manifest(site) == written


def test_of_leaves_that_end_at_once_one_at_least_sees_all(site: Site) -> None:
    export(site)
    *others, one, another = leaf_tasks(site)
    for lease in others:
        site.deliver(lease)
    both, store, write_marks = threading.Barrier(2), site.cache.store, site.cache.store.write_marks

    def at_once(table_id: str, marks: Mapping[str, bytes | None]) -> None:
        write_marks(table_id, marks)
        if any(key.startswith("export/done/") for key in marks):
            both.wait(30)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(store, "write_marks", at_once)
        list(pool.map(site.deliver, (one, another)))
    written = manifest(site)
    assert written is not None
    assert len(json.loads(written)["files"]) == len(others) + 2


def test_a_leaf_killed_before_the_manifest_writes_it_when_it_comes_again(site: Site) -> None:
    export(site)
    break_files(site, KilledError())
    with pytest.raises(KilledError):
        site.drain()
    assert manifest(site) is None
    site.drain()
    assert manifest(site) is not None


def test_if_it_never_comes_again_a_request_for_the_status_writes_it(site: Site) -> None:
    run_id = export(site)
    break_files(site, KilledError())
    *others, last = leaf_tasks(site)
    for lease in others:
        site.deliver(lease)
    with pytest.raises(KilledError):
        site.deliver(last)
    assert operate(site, "status", run=run_id)["manifest"] == f"{address(site)}/{MANIFEST}"
    assert manifest(site) is not None


def test_a_folder_that_is_away_leaves_the_manifest_to_another_delivery(site: Site) -> None:
    run_id = export(site)
    break_files(site, StorageUnavailableError("away"), StorageUnavailableError("away"))
    *others, last = leaf_tasks(site)
    for lease in others:
        site.deliver(lease)
    for attempt in (1, 2):
        with pytest.raises(TransientError, match="away"):
            site.leaf.compute_block(last.body, attempt)
    assert site.leaf.compute_block(last.body, 3).chunks == 0
    written = manifest(site)
    assert written is not None
    assert json.loads(written)["run_id"] == run_id


def test_what_is_done_again_is_in_a_manifest_that_is_written_again(site: Site) -> None:
    run_id = export(site)
    break_files(site, FolderError("full"), suffix=".parquet")
    site.drain()
    first = json.loads(manifest(site) or b"{}")
    assert [failed["reason"] for failed in first["failed"]] == ["full"]
    operate(site, "retry", run=run_id)
    site.drain()
    second = json.loads(manifest(site) or b"{}")
    assert (len(second["files"]), second["failed"]) == (len(first["files"]) + 1, [])


def test_a_forged_run_of_more_leaves_than_any_plan_has_costs_no_time(site: Site) -> None:
    options = {"destination": address(site), "attributes": [], "at_moment": False}
    body = forged(block=HUGE, task_block="0_0_0-1_1_1", leaf_chunks=1, kind="export", options=options)
    assert site.leaf.compute_block(body).chunks == 1
    assert manifest(site) is None
