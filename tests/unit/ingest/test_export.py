"""Exports of a small cache and their imports, in process: the files, what they tell, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from shared.attributes import SIZE
from shared.errors import BadRequestError, BrokenExportError, RunConflictError, StorageUnavailableError
from shared.ingest.control.operations import Operations
from shared.ingest.leaf.service import DEATHS_BEFORE_GIVING_UP
from shared.ingest.task import BlockTask
from shared.sqlite.delivery import Lease
from shared.store.delivery_counts import DeliveryCounts
from shared.store.sqlite import SQLiteStore
from shared.store.table_format import Cell
from tests.support.features.rows import random_features
from tests.support.graph.small import GRAPH_ID, TABLE_ID, node_id
from tests.support.ingest_site import CHUNKS, Site

A, B = (0, 0, 0), (1, 1, 1)
FOLDER = "exports/one"


def operate(site: Site, name: str, **fields: Any) -> dict[str, Any]:
    return Operations(site.ingest, lambda: datetime(2026, 6, 2, tzinfo=UTC)).run(name, {"dataset": GRAPH_ID, **fields})


def address(site: Site, folder: str = FOLDER) -> str:
    return f"file://{site.folder.resolve()}/{folder}"


def ended(site: Site, run_id: str) -> dict[str, Any]:
    site.drain()
    return operate(site, "status", run=run_id)


def exported(site: Site, **fields: Any) -> dict[str, Any]:
    """The status of an export from start to end."""
    site.clock.sleep(1.0)
    run_id = operate(site, "export", **{"destination": address(site), **fields})["run_id"]
    return ended(site, run_id)


def files(site: Site, folder: str = FOLDER) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((site.folder / folder).iterdir())}


def manifest(site: Site) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files(site)["manifest.json"])
    return document


def cells(site: Site) -> list[Cell]:
    """The cells of nodes, with their times."""
    store = site.cache.store
    assert isinstance(store, SQLiteStore)
    return [cell for cell in store.cells(TABLE_ID) if cell.row_key.isdigit()]


def put(site: Site, *others: Cell) -> None:
    assert isinstance(site.cache.store, SQLiteStore)
    site.cache.store.put_cells(TABLE_ID, others)


def ids_in(site: Site) -> list[int]:
    found = duckdb.sql(f"SELECT l2_id FROM '{site.folder}/{FOLDER}/*.parquet' ORDER BY l2_id").fetchall()  # noqa: S608
    return [l2_id for (l2_id,) in found]


def other_site(site: Site, folder: Path) -> Site:
    """A deployment with an empty store that reads the folders of the first one."""
    other = Site(folder)
    other.ingest = replace(other.ingest, folders=site.ingest.folders)
    other.leaf = replace(other.leaf, computer=replace(other.cache.service, folders=site.ingest.folders))
    return other


def ingested(folder: Path) -> Site:
    """A table that an ingest has filled, with files of a few chunks each."""
    folder.mkdir()
    site = Site(folder)
    site.ingest = replace(site.ingest, rows_per_file=4)
    site.start()
    site.drain()
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return ingested(tmp_path / "here")


def test_an_export_has_a_file_for_each_block_and_a_manifest_of_them(site: Site) -> None:
    status = exported(site)
    found, told = files(site), manifest(site)
    assert (status["state"], status["kind"], status["failed_chunks"]) == ("finished", "export", 0)
    assert status["manifest"] == f"{address(site)}/manifest.json"
    assert ids_in(site) == sorted(site.cache.rows())
    assert len(told["files"]) == len(found) - 1 == status["export"]["files"] > 1
    for file in told["files"]:
        content = found[file["name"]]
        assert (file["bytes"], file["sha256"]) == (len(content), sha256(content).hexdigest())
        (in_file,) = duckdb.sql(f"SELECT list(l2_id) FROM '{site.folder}/{FOLDER}/{file['name']}'").fetchall()  # noqa: S608
        assert in_file == (sorted(in_file[0] or []) or None,)
    assert told["rows"] == sum(file["rows"] for file in told["files"]) == status["rows"] == len(site.cache.rows())
    assert (told["dataset"], told["table"], told["timestamp"], told["failed"]) == (GRAPH_ID, TABLE_ID, None, [])
    columns = duckdb.sql(f"DESCRIBE SELECT * FROM '{site.folder}/{FOLDER}/*.parquet'").fetchall()  # noqa: S608
    assert [column[0] for column in columns] == [column["name"] for column in told["schema"]]


def test_an_import_elsewhere_leaves_every_cell_equal(site: Site, tmp_path: Path) -> None:
    ghost, mixed, short = node_id(2, A, 30), node_id(2, A, 31), node_id(2, B, 32)
    site.cache.store.write_voxelless(TABLE_ID, np.array([ghost], np.uint64))
    site.cache.store.write_features(TABLE_ID, random_features(np.array([mixed, short], np.uint64)))
    # what nobody of ours writes: a number that is none, a cell cut short, and one of no attribute
    put(
        site,
        Cell(b"%020d" % mixed, "0", "mean_dt_nm", 1_900_000_000_000_000, b"\x01\x7e"),
        Cell(b"%020d" % short, "0", "pca", 1_900_000_000_000_000, b"\x01\x02\x03"),
        Cell(b"%020d" % short, "4", "skeleton", 1_900_000_000_000_000, b"mine"),
    )
    status = exported(site)
    assert status["export"]["other_cells"] == {"4:skeleton": 1} == manifest(site)["other_cells"]
    assert status["export"]["rows_as_stored"] == 1
    (tmp_path / "there").mkdir()
    there = other_site(site, tmp_path / "there")
    run_id = operate(there, "import", source=address(site))["run_id"]
    done = ended(there, run_id)
    assert (done["state"], done["failed_chunks"], done["rows"]) == ("finished", 0, status["rows"])
    assert done["import"]["files"] == status["export"]["files"]
    ours = [cell for cell in cells(site) if cell.qualifier != "skeleton"]
    assert cells(there) == ours
    theirs, own = there.cache.store.read_meta(TABLE_ID), site.cache.store.read_meta(TABLE_ID)
    assert theirs == own
    there.clock.sleep(1.0)
    again = ended(there, operate(there, "import", source=address(site))["run_id"])
    assert (again["rows"], cells(there)) == (status["rows"], ours)


def test_tasks_that_come_twice_change_nothing(site: Site) -> None:
    exported(site)
    first = files(site)
    site.clock.sleep(1.0)
    run_id = operate(site, "export", destination=address(site, "exports/two"))["run_id"]
    site.drain(twice=True)
    operate(site, "status", run=run_id)
    second = files(site, "exports/two")
    assert {name: content for name, content in second.items() if name != "manifest.json"} == {
        name: content for name, content in first.items() if name != "manifest.json"
    }
    assert json.loads(second["manifest.json"])["files"] == json.loads(first["manifest.json"])["files"]


def test_with_a_moment_only_nodes_of_it_are_exported_and_those_without_a_row_counted(site: Site) -> None:
    graph, before = site.cache.graph, set(site.cache.rows())
    newer = graph.add(A, 7, range(1, 12))
    superseded = {l2_id for l2_id in before if l2_id in (node_id(2, A, 1), node_id(2, A, 2))}
    status = exported(site, timestamp="2026-06-01 00:00:00")
    assert set(ids_in(site)) == before - superseded
    assert newer not in ids_in(site)
    assert status["export"]["missing"] == 1 == manifest(site)["missing"]
    assert (status["at_moment"], manifest(site)["timestamp"]) == (True, "2026-06-01 00:00:00")


def test_some_attributes_can_be_exported_and_are_no_rows_to_import(site: Site) -> None:
    exported(site, attributes="size_nm3, rep_coord_nm")
    names = [column["name"] for column in manifest(site)["schema"]]
    assert names[4:] == ["size_nm3", "rep_coord_nm_x", "rep_coord_nm_y", "rep_coord_nm_z", "written_us"]
    with pytest.raises(RunConflictError, match="only some attributes"):
        operate(site, "import", source=address(site))


def test_a_box_of_chunks_is_exported(site: Site) -> None:
    site.clock.sleep(1.0)
    box = {"bounding_box": [[100, 50, 0], [109, 57, 5]]}
    status = exported(site, **box)
    assert status["total_chunks"] == 1
    assert ids_in(site) == [node_id(2, A, 1), node_id(2, A, 2)]


def test_a_killed_export_goes_on_and_leaves_no_file_by_half(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    renames = 0

    def dying(path: Path, target: Path) -> None:
        nonlocal renames
        renames += 1
        if renames in (1, 4):
            raise Killed
        rename(path, target)

    rename: Callable[[Path, Path], None] = Path.hardlink_to
    monkeypatch.setattr(Path, "hardlink_to", dying)
    killed = 0
    run_id = operate(site, "export", destination=address(site))["run_id"]
    while True:
        try:
            site.drain()
        except Killed:
            killed += 1
        else:
            break
    assert killed == 2
    status = operate(site, "status", run=run_id)
    assert (status["state"], status["failed_chunks"]) == ("finished", 0)
    assert ids_in(site) == sorted(site.cache.rows())
    assert all(name.endswith((".parquet", ".json")) for name in files(site))


def test_an_export_is_cancelled_and_resumed(site: Site) -> None:
    run_id = operate(site, "export", destination=address(site))["run_id"]
    assert operate(site, "cancel", run=run_id)["state"] == "cancelled"
    site.drain()
    assert operate(site, "status", run=run_id)["manifest"] is None
    operate(site, "start", resume=True, run=run_id)
    assert ended(site, run_id)["export"]["missing"] == 0
    assert ids_in(site) == sorted(site.cache.rows())


def test_a_block_that_fails_is_named_and_tried_again(site: Site) -> None:
    blocked = site.folder / FOLDER
    blocked.parent.mkdir()
    blocked.write_text("no folder")
    run_id = operate(site, "export", destination=address(site, FOLDER + "/deep"))
    assert run_id
    site.drain()
    status = operate(site, "status", run=run_id["run_id"])
    assert (status["failed_chunks"], status["rows"], status["manifest"]) == (CHUNKS, 0, None)
    blocked.unlink()
    operate(site, "retry", run=run_id["run_id"])
    assert ended(site, run_id["run_id"])["failed_chunks"] == 0


def test_a_folder_with_an_export_and_one_that_is_not_allowed_are_refused(site: Site, tmp_path: Path) -> None:
    exported(site)
    with pytest.raises(RunConflictError, match="files of an export"):
        operate(site, "export", destination=address(site))
    for wrong in (f"file://{tmp_path}", "gs://bucket/folder", address(site, "exports/../x"), "/somewhere", "s3://b/f"):
        with pytest.raises(BadRequestError, match=r"exports? (are allowed|must be)"):
            operate(site, "export", destination=wrong)
        with pytest.raises(BadRequestError):
            operate(site, "import", source=wrong)


def test_what_is_no_export_or_one_of_another_graph_is_not_imported(site: Site) -> None:
    with pytest.raises(BrokenExportError, match=r"no manifest\.json"):
        operate(site, "import", source=address(site))
    exported(site)
    path = site.folder / FOLDER / "manifest.json"
    good = json.loads(path.read_text())
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"dataset": "another"}, RunConflictError, "of graph another"),
        ({"grid": {**good["grid"], "resolution_nm": [8.0, 8.0, 40.0]}}, RunConflictError, "resolution_nm"),
        ({"form_version": 2}, BrokenExportError, "version 1"),
        ({"attributes": [*good["attributes"], "soma"]}, BadRequestError, "soma"),
        ({"files": "none"}, BrokenExportError, "manifest"),
    ]
    for change, kind, message in wrong:
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(kind, match=message):
            operate(site, "import", source=address(site))


def test_a_damaged_or_missing_file_fails_its_block_only(site: Site, tmp_path: Path) -> None:
    exported(site)
    first, second, *_ = (site.folder / FOLDER / file["name"] for file in manifest(site)["files"] if file["rows"])
    content = first.read_bytes()
    first.write_bytes(content[:-1] + b"!")
    second.unlink()
    (tmp_path / "there").mkdir()
    there = other_site(site, tmp_path / "there")
    run_id = operate(there, "import", source=address(site))["run_id"]
    ended(there, run_id)
    reasons = {failed["reason"] for failed in operate(there, "failed", run=run_id)["failed"]}
    assert len(reasons) == 2
    assert any("is missing" in reason for reason in reasons)
    assert 0 < len(there.cache.rows()) < len(site.cache.rows())


def test_storage_that_is_away_leaves_a_task_to_the_queue(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    operate(site, "export", destination=address(site))
    scan, tries = site.cache.store.scan_rows, 0

    def away(*arguments: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise StorageUnavailableError("away")
        return scan(*arguments)

    monkeypatch.setattr(site.cache.store, "scan_rows", away)
    site.drain()
    assert ids_in(site) == sorted(site.cache.rows())


def test_a_block_that_kills_its_process_again_and_again_is_given_up(site: Site) -> None:
    run_id = operate(site, "export", destination=address(site))["run_id"]

    def deadly(lease: Lease) -> None:
        for attempt in range(1, DEATHS_BEFORE_GIVING_UP + 1):
            DeliveryCounts(site.cache.store, TABLE_ID, BlockTask.from_body(lease.body).name).begin(attempt)
        object.__setattr__(lease, "attempt", DEATHS_BEFORE_GIVING_UP + 1)

    site.before_leaf = deadly
    status = ended(site, run_id)
    assert status["failed_chunks"] == CHUNKS
    assert "died" in manifest(site)["failed"][0]["reason"]


def test_plans_of_exports_and_imports_start_nothing(site: Site) -> None:
    planned = operate(site, "plan_export", destination=address(site))
    assert (planned["kind"], planned["total_chunks"], planned["rows"]) == ("export", CHUNKS, len(site.cache.rows()))
    assert planned["cost_usd"]["total"] > 0
    assert not (site.folder / FOLDER).exists()
    exported(site)
    planned = operate(site, "plan_import", source=address(site))
    assert (planned["kind"], planned["rows"]) == ("import", len(site.cache.rows()))
    assert planned["files_bytes"] == manifest(site)["bytes"]
    assert site.waiting() == 0


def test_rows_without_voxels_follow_from_the_columns(site: Site) -> None:
    ghost = node_id(2, A, 30)
    site.cache.store.write_voxelless(TABLE_ID, np.array([ghost], np.uint64))
    assert exported(site)["export"]["rows_as_stored"] == 0
    table = duckdb.read_parquet(f"{site.folder}/{FOLDER}/*.parquet")
    found = table.filter(f"l2_id = {ghost}").project("size_nm3, area_nm2").fetchall()
    assert found == [(0, None)]
    assert site.cache.rows()[ghost][SIZE.name] == bytes(8)
