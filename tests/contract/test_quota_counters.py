"""The counters of quotas keep their contract, embedded and on Google's emulator, and what only one of them promises."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import PermissionDenied

from infra.local.emulators import Emulator
from shared.errors import ConfigurationError, StorageUnavailableError
from shared.google.bigtable import admin
from shared.google.bigtable.clients import DataClients
from shared.store.bigtable_quota import BigtableCounters
from shared.store.open import open_counters
from shared.store.quota import QuotaCounters
from shared.store.sqlite import SQLiteStore
from shared.store.sqlite_quota import SQLiteCounters
from tests.contract.cache_store_contract import META
from tests.contract.quota_counters_contract import MINUTE, QuotaCountersContract

PROJECT = "l2cache-test"


class TestSQLiteCounters(QuotaCountersContract):
    @pytest.fixture
    def open_counters(self, tmp_path: Path) -> Callable[[], QuotaCounters]:
        # in the store's file, patient enough for tests that write from many threads to a slow disk
        SQLiteStore(tmp_path / "cache.db").create_table("cache", META)
        return lambda: SQLiteCounters(tmp_path / "cache.db", timeout_s=30)


class TestBigtableCounters(QuotaCountersContract):
    @pytest.fixture
    def open_counters(self, bigtable_clients: DataClients) -> Callable[[], QuotaCounters]:
        return lambda: BigtableCounters(PROJECT, "quota", bigtable_clients, timeout_s=30, first_timeout_s=30)


def test_minutes_of_more_than_an_hour_ago_are_forgotten(tmp_path: Path) -> None:
    counters = SQLiteCounters(tmp_path / "cache.db")
    for minute in (MINUTE, MINUTE + 1, MINUTE + 61):
        counters.add("a", minute, 3)
    counters.close()
    with closing(sqlite3.connect(tmp_path / "cache.db")) as connection:
        assert connection.execute("SELECT minute FROM quota ORDER BY 1").fetchall() == [(MINUTE + 1,), (MINUTE + 61,)]


def test_a_file_that_is_locked_is_not_waited_for_long(tmp_path: Path) -> None:
    counters = open_counters(f"sqlite://{tmp_path}/cache.db")
    counters.add("a", MINUTE, 1)
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        started_s = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            counters.add("a", MINUTE, 1)
        assert time.monotonic() - started_s < 5
        lock.execute("ROLLBACK")
    assert counters.add("a", MINUTE, 1) == 2
    counters.close()


def families_of(instance: str) -> dict[str, Any]:
    with admin._admin_client() as client:
        table = client.get_table(name=f"projects/{PROJECT}/instances/{instance}/tables/l2cache_states")
    return dict(table.column_families)


@pytest.mark.parametrize("families", [None, {"state": "max_num_versions: 1"}])
def test_table_or_column_family_are_made_where_nobody_did(
    bigtable_environment: Emulator, families: dict[str, str | None] | None
) -> None:
    instance = f"fresh-{uuid.uuid4().hex[:12]}"
    if families is not None:
        admin.create_table(PROJECT, instance, "l2cache_states", families)
    several = [open_counters(f"bigtable://{PROJECT}/{instance}") for _ in range(2)]
    assert [counters.add("a", MINUTE, 1) for counters in several] == [1, 2]
    rules = families_of(instance)["quota"].gc_rule.union.rules
    assert [rule.max_num_versions for rule in rules if "max_num_versions" in rule] == [1]
    assert [rule.max_age.total_seconds() for rule in rules if "max_age" in rule] == [3600]
    assert "state" in families_of(instance)
    for counters in several:
        counters.close()


def test_where_the_family_may_not_be_made_that_is_tried_once(
    bigtable_environment: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refuse(*arguments: object) -> bool:
        tries.append(arguments)
        raise PermissionDenied("no bigtable.tables.create")

    monkeypatch.setattr("shared.store.bigtable_family.create_table", refuse)
    counters = open_counters(f"bigtable://{PROJECT}/fresh-{uuid.uuid4().hex[:12]}")
    for _ in range(3):
        with pytest.raises(StorageUnavailableError):
            counters.add("a", MINUTE, 1)
    assert len(tries) == 1
    counters.close()


def test_an_emulator_that_is_away_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", "127.0.0.1:1")
    counters = open_counters(f"bigtable://{PROJECT}/away")
    started_s = time.monotonic()
    with pytest.raises(StorageUnavailableError):
        counters.add("a", MINUTE, 1)
    assert time.monotonic() - started_s < 10
    counters.close()


@pytest.mark.parametrize("address", ["sqlite://file.db", "bigtable://p/i/t", "redis://host", "nothing"])
def test_an_address_of_no_store_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        open_counters(address)
