"""The embedded store, bus and queue keep their contracts, and what only they promise."""

from __future__ import annotations

import pickle
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shared.attributes import ATTRIBUTES, feature_cells
from shared.bus.open import open_bus, open_dead_letters
from shared.bus.protocol import Publisher
from shared.errors import ConfigurationError, StorageUnavailableError, TableNotFoundError
from shared.sqlite.deliveries import Deliveries
from shared.store.open import open_store
from shared.store.protocol import NodeState, TableMeta
from shared.store.sqlite import SQLiteStore
from shared.store.table_format import Cell
from shared.tasks.open import open_queue
from shared.tasks.protocol import TaskQueue
from tests.contract.cache_store_contract import META, CacheStoreContract, ids_of, recent_s, rows_of
from tests.contract.publisher_contract import PublisherContract, Received
from tests.contract.task_queue_contract import Posted, TaskQueueContract
from tests.support.data.cache_dumps import read_dump, restore
from tests.support.features.rows import FIRST_L2_ID, random_features


class TestSQLiteStore(CacheStoreContract):
    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/cache.db"


class TestSQLitePublisher(PublisherContract):
    @pytest.fixture
    def publisher(self, tmp_path: Path) -> Iterator[Publisher]:
        publisher = open_bus(f"sqlite://{tmp_path}/bus.db")
        yield publisher
        publisher.close()

    @pytest.fixture
    def received(self, tmp_path: Path) -> Iterator[Received]:
        deliveries = Deliveries(tmp_path / "bus.db")

        def received(count: int) -> list[tuple[dict[str, str], bytes]]:
            leases = deliveries.lease(count + 1, time.time() + 1)
            deliveries.acknowledge([lease.id for lease in leases])
            return [(dict(lease.attributes), lease.body) for lease in leases]

        yield received
        deliveries.close()


class TestSQLiteTaskQueue(TaskQueueContract):
    @pytest.fixture
    def queue(self, tmp_path: Path) -> Iterator[TaskQueue]:
        queue = open_queue(f"sqlite://{tmp_path}/queue.db")
        yield queue
        queue.close()

    @pytest.fixture
    def posted(self, tmp_path: Path) -> Iterator[Posted]:
        deliveries = Deliveries(tmp_path / "queue.db")

        def posted(count: int) -> list[tuple[str, str, bytes]]:
            leases = deliveries.lease(count + 1, time.time() + 1)
            deliveries.acknowledge([lease.id for lease in leases])
            return [(lease.kind, lease.path, lease.body) for lease in leases]

        yield posted
        deliveries.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "cache.db")
    yield store
    store.close()


@pytest.mark.parametrize("name", ["cache_ingested", "cache_after_merge"])
def test_a_table_of_pcgl2cache_is_kept_byte_for_byte(store: SQLiteStore, shared_data: Path, name: str) -> None:
    recorded = shared_data / "tables" / f"{name}.ndjson.gz"
    table_id = restore(recorded, store)
    assert store.read_meta(table_id) == TableMeta(
        "rig_graph",
        "graphene://http://127.0.0.1:18001/segmentation/table/rig_graph",
        datetime(2026, 6, 1, tzinfo=UTC),
    )

    def values(cells: list[Cell]) -> dict[tuple[bytes, str, str], bytes]:
        return {(cell.row_key, cell.family, cell.qualifier): cell.value for cell in cells}

    original = values(read_dump(recorded)[1])
    assert values(store.cells(table_id)) == original
    ids = np.array([int(key) for key, _, _ in original if key.isdigit()], dtype=np.uint64)
    rows = rows_of(store, table_id, ids)
    assert len(rows) == len(np.unique(ids))
    assert all(original[b"%020d" % l2_id, "0", "pca"] == cells["pca"] for l2_id, cells in rows.items())


def test_a_new_table_has_version_and_meta_as_other_readers_expect(store: SQLiteStore) -> None:
    store.create_table("cache", META)
    cells = {(cell.row_key, cell.family, cell.qualifier): cell.value for cell in store.cells("cache")}
    assert set(cells) == {(b"meta", "0", "meta"), (b"version", "0", "version")}
    assert pickle.loads(cells[b"meta", "0", "meta"]) == {  # noqa: S301  # our own, read as others read it
        "graph_id": "graph",
        "cv_path": "graphene://https://example.org/segmentation/table/graph",
        "timestamp": "2026-06-01 00:00:00",
    }
    assert cells[b"version", "0", "version"].decode()


def test_written_rows_are_cells_under_twenty_digits(store: SQLiteStore) -> None:
    store.create_table("cache", META)
    features = random_features(ids_of(FIRST_L2_ID + 1, FIRST_L2_ID, 7))
    store.write_features("cache", features)
    cells = [cell for cell in store.cells("cache") if cell.row_key.isdigit()]
    assert [cell.row_key for cell in cells[:: len(ATTRIBUTES)]] == [
        b"00000000000000000007",
        b"00144115188075855872",
        b"00144115188075855873",
    ]
    assert {cell.family for cell in cells} == {"0"}
    assert all(cell.timestamp_us % 1000 == 0 for cell in cells)
    by_row = {int(key): {c.qualifier: c.value for c in cells if c.row_key == key} for key in {c.row_key for c in cells}}
    assert by_row == dict(feature_cells(features))


def test_the_newest_of_several_versions_of_a_cell_is_kept(store: SQLiteStore) -> None:
    key = b"%020d" % FIRST_L2_ID
    store.put_cells("cache", [Cell(key, "0", "size_nm3", time_us, b"%04d" % time_us) for time_us in (3000, 5000, 4000)])
    assert rows_of(store, "cache", ids_of(FIRST_L2_ID), ["size_nm3"]) == {FIRST_L2_ID: {"size_nm3": b"5000"}}


def test_a_table_without_meta_is_no_cache_table(store: SQLiteStore) -> None:
    store.put_cells("graph", [Cell(b"%020d" % FIRST_L2_ID, "0", "parents", 1000, b"12345678")])
    with pytest.raises(TableNotFoundError, match="graph has no meta"):
        store.read_meta("graph")


@pytest.mark.parametrize(
    "meta",
    [
        b"", b"cos\nsystem\n(S'touch executed'\ntR.", pickle.dumps(1), pickle.dumps({"graph_id": "g"}),
        pickle.dumps({"graph_id": "g", "cv_path": "c", "timestamp": "yesterday"}),
        pickle.dumps({"graph_id": "g", "cv_path": "c", "timestamp": 5}),
    ],
)  # fmt: skip
def test_a_hostile_meta_is_refused_and_not_executed(
    store: SQLiteStore, meta: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.put_cells("cache", [Cell(b"meta", "0", "meta", 1000, meta)])
    with pytest.raises(TableNotFoundError, match="cache"):
        store.read_meta("cache")
    assert not (tmp_path / "executed").exists()


def test_a_file_that_is_locked_for_good_is_unavailable(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "cache.db", deadline_s=0.2)
    store.create_table("cache", META)
    other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError):
        store.write_voxelless("cache", ids_of(FIRST_L2_ID))
    assert rows_of(store, "cache", ids_of(FIRST_L2_ID)) == {}
    other.close()
    store.write_voxelless("cache", ids_of(FIRST_L2_ID))
    store.close()


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "cache.db")
    store.create_table("cache", META)
    other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.close)
    release.start()
    store.write_voxelless("cache", ids_of(FIRST_L2_ID))
    release.join()
    assert len(rows_of(store, "cache", ids_of(FIRST_L2_ID))) == 1
    store.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"something else" * 1000)
    store = SQLiteStore(tmp_path / "cache.db", deadline_s=0.1)
    with pytest.raises(StorageUnavailableError) as caught:
        store.read_meta("cache")
    assert "file is not a database" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_states_older_than_a_month_are_forgotten(store: SQLiteStore) -> None:
    now_s = recent_s()
    store.write_states("cache", {1: NodeState("failed", now_s - 32 * 86_400), 2: NodeState("failed", now_s)})
    store.write_states("cache", {3: NodeState("failed", now_s)})
    assert sorted(store.read_states("cache", ids_of(1, 2, 3))) == [2, 3]


def test_a_file_that_was_made_before_there_were_states_takes_them(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "cache.db")
    store.create_table("cache", META)
    store.close()
    with closing(sqlite3.connect(tmp_path / "cache.db")) as connection:
        connection.executescript("DROP INDEX states_by_age; DROP TABLE states;")
    store = SQLiteStore(tmp_path / "cache.db")
    assert store.read_states("cache", ids_of(1)) == {}
    state = NodeState("failed", recent_s(), "why")
    store.write_states("cache", {1: state})
    assert store.read_states("cache", ids_of(1)) == {1: state}
    store.close()


@pytest.mark.parametrize("opening", [open_store, open_bus, open_dead_letters, open_queue])
@pytest.mark.parametrize(
    "address",
    ["", "cache.db", "mysql://user:secret@host/db", "secret", "sqlite://", "sqlite:///", "sqlite://host/file.db",
     "sqlite:relative.db", "sqlite:////no/such/secret/file.db", "sqlite:///tmp/a.db?mode=secret"],
)  # fmt: skip
def test_an_unusable_address_is_refused_without_repeating_it(opening: object, address: str) -> None:
    assert callable(opening)
    with pytest.raises(ConfigurationError) as caught:
        opening(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("opening", [open_store, open_bus, open_dead_letters, open_queue])
def test_an_address_of_an_unknown_kind_is_refused_by_its_scheme(opening: object) -> None:
    assert callable(opening)
    with pytest.raises(ConfigurationError, match="mysql:// is not known"):
        opening("mysql://user:password@host/database")


@pytest.mark.parametrize(
    ("opening", "variable"), [(open_bus, "L2CACHE_BUS"), (open_dead_letters, "L2CACHE_DEAD_LETTERS")]
)
@pytest.mark.parametrize("address", ["mysql://host/db", "sqlite:relative.db", "sqlite:////no/such/f.db", "pubsub://x"])
def test_a_wrong_address_is_blamed_on_its_variable(opening: object, variable: str, address: str) -> None:
    assert callable(opening)
    with pytest.raises(ConfigurationError, match=f"{variable}\\b"):
        opening(address)
