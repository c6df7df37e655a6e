"""The Bigtable store keeps the contract of stores on Google's emulator, and shares tables with other programs.

The other side is `kvdbclient`, through which PyChunkedGraph and PCGL2Cache read and write their tables.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.api_core.exceptions import NotFound, PermissionDenied, ServiceUnavailable
from google.cloud.bigtable.data import BigtableDataClient, SetCell
from google.cloud.bigtable_admin_v2 import BigtableTableAdminClient
from google.cloud.bigtable_admin_v2.types import Table as TableProto
from kvdbclient import attributes as kv_attributes
from kvdbclient import serializers
from kvdbclient.bigtable import BigTableConfig
from kvdbclient.bigtable.client import Client

from infra.local import emulators
from infra.local.emulators import Emulator
from infra.standin.bigtable_dump import restore_dump
from shared.attributes import ATTRIBUTES, PCGL2CACHE_ATTRIBUTES, VOXELLESS_SIZE, feature_cells
from shared.errors import StorageUnavailableError
from shared.google.bigtable import admin
from shared.google.bigtable.address import TableAddress
from shared.store.bigtable import BigtableStore
from shared.store.open import open_store
from shared.store.protocol import UNKNOWN, NodeState, TableMeta
from tests.contract.cache_store_contract import META, CacheStoreContract, ids_of, recent_s, rows_of
from tests.support.data.cache_dumps import read_dump
from tests.support.features.rows import FIRST_L2_ID, random_features

PROJECT, INSTANCE = "l2cache-test", "l2cache-test"
ADDRESS = f"bigtable://{PROJECT}/{INSTANCE}"
META_FIELDS = {
    "graph_id": "graph",
    "cv_path": "graphene://https://example.org/segmentation/table/graph",
    "timestamp": "2026-06-01 00:00:00",
}
# as PCGL2Cache declares them
KV = {
    attribute.name: kv_attributes._Attribute(
        key=attribute.name.encode(),
        family_id="0",
        serializer=serializers.NumPyArray(dtype=attribute.dtype),
    )
    for attribute in ATTRIBUTES
}


class TestBigtableStore(CacheStoreContract):
    @pytest.fixture
    def address(self, bigtable_environment: Emulator) -> str:
        return ADDRESS


@pytest.fixture
def store(bigtable_environment: Emulator) -> Iterator[BigtableStore]:
    store = open_store(ADDRESS)
    assert isinstance(store, BigtableStore)
    yield store
    store.close()


@pytest.fixture
def table() -> str:
    """A name for a table that is not there yet."""
    return f"l2cache_{uuid.uuid4().hex[:12]}"


def kv_client(table: str) -> Client:
    return Client(table, BigTableConfig(PROJECT=PROJECT, INSTANCE=INSTANCE, ADMIN=True, READ_ONLY=False))


def test_a_table_made_here_opens_there(store: BigtableStore, table: str) -> None:
    store.create_table(table, META)
    client = kv_client(table)
    assert client.read_table_meta() == META_FIELDS
    assert client.read_table_version()
    client.close()


def test_a_new_table_has_the_column_families_of_a_table_made_there(store: BigtableStore, table: str) -> None:
    def families(of: str) -> dict[str, str]:
        with admin._admin_client() as client:
            assert isinstance(client, BigtableTableAdminClient)
            made = client.get_table(name=f"projects/{PROJECT}/instances/{INSTANCE}/tables/{of}")
            return {family: str(column_family.gc_rule) for family, column_family in made.column_families.items()}

    store.create_table(table, META)
    client = kv_client(f"{table}_kv")
    client.create_table(META_FIELDS, "1.3.1")
    client.close()
    assert families(table) == families(f"{table}_kv")


def test_rows_written_here_are_read_there(store: BigtableStore, table: str) -> None:
    store.create_table(table, META)
    features = random_features(np.arange(20, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
    store.write_features(table, features)
    client = kv_client(table)
    rows = client.read_nodes(node_ids=features.node_ids, properties=list(KV.values()))
    client.close()
    assert sorted(map(int, rows)) == features.node_ids.tolist()
    for row, l2_id in enumerate(features.node_ids):
        read = {attribute.key.decode(): cells[0].value for attribute, cells in rows[l2_id].items()}
        for attribute in ATTRIBUTES:
            if attribute.mask is not None and not features.has_pca[row]:
                assert read[attribute.name].size == 0
            else:
                expected = getattr(features, attribute.name)[row]
                np.testing.assert_array_equal(read[attribute.name].reshape(attribute.shape), expected)


def test_a_table_made_there_serves_here(store: BigtableStore, table: str) -> None:
    client = kv_client(table)
    client.create_table(META_FIELDS, "1.3.1")
    features = random_features(ids_of(FIRST_L2_ID + 1, FIRST_L2_ID + 5, FIRST_L2_ID + 9), seed=3)
    rows = []
    for row, l2_id in enumerate(features.node_ids):
        values: dict[Any, Any] = {KV[a.name]: getattr(features, a.name)[row] for a in ATTRIBUTES}
        if not features.has_pca[row]:
            values |= {KV["pca"]: np.array([], np.float16), KV["pca_val"]: np.array([], np.float32)}
        rows.append(client.mutate_row(serializers.serialize_uint64(l2_id), values))
    client.write(rows)
    client.close()
    assert store.read_meta(table) == META
    assert not store.create_table(table, TableMeta("other", "graphene://other", datetime(2020, 1, 1, tzinfo=UTC)))
    assert store.read_meta(table) == META
    assert rows_of(store, table, features.node_ids) == dict(feature_cells(features))


def test_the_eight_byte_zero_is_the_same_on_both_sides(store: BigtableStore, table: str) -> None:
    store.create_table(table, META)
    store.write_voxelless(table, ids_of(FIRST_L2_ID))
    client = kv_client(table)
    ours = client._read_byte_row(serializers.serialize_uint64(np.uint64(FIRST_L2_ID)))
    client.write(
        [client.mutate_row(serializers.serialize_uint64(np.uint64(FIRST_L2_ID + 1)), {KV["size_nm3"]: np.array(0)})]
    )
    client.close()
    assert {attribute.key: cell.value.tolist() for attribute, (cell,) in ours.items()} == {b"size_nm3": [0, 0]}
    assert rows_of(store, table, ids_of(FIRST_L2_ID + 1), ["size_nm3"]) == {
        FIRST_L2_ID + 1: {"size_nm3": VOXELLESS_SIZE}
    }


def test_a_row_without_a_size_is_there_too(store: BigtableStore, table: str) -> None:
    store.create_table(table, META)
    client = kv_client(table)
    client.write(
        [client.mutate_row(serializers.serialize_uint64(np.uint64(FIRST_L2_ID)), {KV["area_nm2"]: np.uint32(7)})]
    )
    client.close()
    asked = ids_of(FIRST_L2_ID, FIRST_L2_ID + 1)
    assert rows_of(store, table, asked, ["max_dt_nm", "pca"]) == {FIRST_L2_ID: {"max_dt_nm": b"", "pca": b""}}


def test_the_newest_of_several_versions_of_a_cell_is_read(store: BigtableStore, table: str) -> None:
    store.create_table(table, META)
    with BigtableDataClient(project=PROJECT) as client:
        raw = client.get_table(INSTANCE, table)
        for time_us in (3000, 5000, 4000):
            cell = SetCell("0", "size_nm3", b"%04d" % time_us, time_us)
            raw.mutate_row(b"%020d" % FIRST_L2_ID, cell)
    assert rows_of(store, table, ids_of(FIRST_L2_ID), ["size_nm3"]) == {FIRST_L2_ID: {"size_nm3": b"5000"}}


def test_a_mark_of_a_clock_that_runs_ahead_is_overwritten_all_the_same(store: BigtableStore, table: str) -> None:
    store.create_table(table, META)
    store.write_marks(table, {"state": b"old"})
    with BigtableDataClient(project=PROJECT) as client:
        raw = client.get_table(INSTANCE, table)
        (row,) = [row for row in raw.read_rows({}) if row.row_key not in (b"meta", b"version")]
        (cell,) = row.get_cells()
        tomorrow_us = cell.timestamp_micros + 86_400_000_000
        raw.mutate_row(row.row_key, SetCell(cell.family, cell.qualifier, b"ahead", tomorrow_us))
    assert store.read_marks(table, "") == {"state": b"ahead"}
    store.write_marks(table, {"state": b"new"})
    assert store.read_marks(table, "") == {"state": b"new"}


def test_a_table_whose_making_was_cut_short_is_completed(store: BigtableStore, table: str) -> None:
    admin.create_table(PROJECT, INSTANCE, table, {"0": None, "1": "max_num_versions: 1"})
    assert not store.create_table(table, META)
    assert store.read_meta(table) == META


def test_the_real_table_is_read_byte_for_byte(store: BigtableStore, shared_data: Path) -> None:
    recorded = shared_data / "tables" / "cache_after_merge.ndjson.gz"
    table_id, cells = read_dump(recorded)
    restore_dump(recorded, TableAddress(PROJECT, INSTANCE, table_id))
    assert store.read_meta(table_id).graph_id == "rig_graph"
    expected: dict[int, dict[str, bytes]] = {}
    for cell in cells:
        if cell.row_key.isdigit():
            expected.setdefault(int(cell.row_key), {})[cell.qualifier] = cell.value
    ids, names = np.array(list(expected), dtype=np.uint64), list(PCGL2CACHE_ATTRIBUTES.names)
    assert rows_of(store, table_id, ids, names) == expected


def fresh_instance() -> str:
    """An instance of the emulator, where nobody has made a table for states yet."""
    return f"fresh-{uuid.uuid4().hex[:12]}"


def states_table(instance: str) -> TableProto | None:
    with admin._admin_client() as client:
        try:
            return client.get_table(name=f"projects/{PROJECT}/instances/{instance}/tables/l2cache_states")
        except NotFound:
            return None


def test_the_table_of_states_is_made_at_the_first_write_and_keeps_one_version_for_a_month(
    bigtable_environment: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    instance = fresh_instance()
    store, other = (BigtableStore(PROJECT, instance) for _ in range(2))
    assert store.read_states("cache", ids_of(FIRST_L2_ID)) == {}
    assert states_table(instance) is None
    state = NodeState(UNKNOWN, recent_s())
    store.write_states("cache", {FIRST_L2_ID: state})
    assert other.read_states("cache", ids_of(FIRST_L2_ID)) == {FIRST_L2_ID: state}
    made = states_table(instance)
    assert made is not None
    family = made.column_families["state"]
    assert [rule.max_num_versions for rule in family.gc_rule.union.rules if "max_num_versions" in rule] == [1]
    assert [rule.max_age.days for rule in family.gc_rule.union.rules if "max_age" in rule] == [31]
    assert "have no place" in caplog.text
    store.close()
    other.close()


class Refusing:
    """In the place of the clients: Bigtable refuses everything with an error, and counts how often."""

    def __init__(self, error: Exception) -> None:
        self.error, self.calls = error, 0

    def streams(self, project: str) -> Refusing:
        return self

    def rows(self) -> Refusing:
        return self

    def read_rows(self, *arguments: object, **named: object) -> None:
        self.calls += 1
        raise self.error

    mutate_rows = read_rows

    def close(self) -> None:
        pass


def refusing_store(bigtable: Any) -> BigtableStore:
    return BigtableStore(PROJECT, INSTANCE, bigtable, read_timeout_s=0.2, write_timeout_s=0.2)


def test_where_states_are_closed_to_us_there_are_none_and_that_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = refusing_store(Refusing(PermissionDenied("no bigtable.tables.readRows")))
    for _ in range(3):
        assert store.read_states("cache", ids_of(FIRST_L2_ID)) == {}
        store.write_states("cache", {FIRST_L2_ID: NodeState(UNKNOWN, recent_s())})
    assert [record.getMessage() for record in caplog.records] == ["states of ids have no place"]
    with pytest.raises(StorageUnavailableError):
        store.read_cells("cache", ids_of(FIRST_L2_ID), ["size_nm3"])
    store.close()


def test_where_the_table_of_states_may_not_be_made_that_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def create_table(*arguments: object) -> bool:
        tries.append(arguments)
        raise PermissionDenied("no bigtable.tables.create")

    monkeypatch.setattr("shared.store.bigtable_states.create_table", create_table)
    bigtable = Refusing(NotFound("no such table"))
    store = refusing_store(bigtable)
    for _ in range(3):
        store.write_states("cache", {FIRST_L2_ID: NodeState(UNKNOWN, recent_s())})
    assert len(tries) == 1
    assert bigtable.calls == 3
    store.close()


def test_states_that_cannot_be_reached_just_now_are_an_error_as_rows_are() -> None:
    store = refusing_store(Refusing(ServiceUnavailable("away")))
    with pytest.raises(StorageUnavailableError):
        store.read_states("cache", ids_of(FIRST_L2_ID))
    with pytest.raises(StorageUnavailableError):
        store.write_states("cache", {FIRST_L2_ID: NodeState(UNKNOWN, recent_s())})
    store.close()


def test_bigtable_that_does_not_answer_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with emulators.bigtable_emulator(tmp_path) as emulator:
        endpoint = emulator.endpoint
    monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", endpoint)
    store = BigtableStore(PROJECT, INSTANCE, read_timeout_s=0.5)
    with pytest.raises(StorageUnavailableError):
        store.read_cells("cache", ids_of(FIRST_L2_ID), ["size_nm3"])
    store.close()
