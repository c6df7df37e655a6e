"""The memory of whole neurons keeps its contract, embedded and on Google's emulator, and what only one promises."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.api_core.exceptions import PermissionDenied

from infra.local.emulators import Emulator
from shared.errors import ConfigurationError, StorageUnavailableError
from shared.google.bigtable import admin
from shared.google.bigtable.clients import DataClients
from shared.store.bigtable_totals import BigtableTotals
from shared.store.open import open_totals
from shared.store.sqlite import SQLiteStore
from shared.store.sqlite_totals import SQLiteTotals
from shared.store.totals import TotalsMemory
from tests.contract.cache_store_contract import META
from tests.contract.totals_memory_contract import TotalsMemoryContract, ids

PROJECT = "l2cache-test"
DAY_S = 86_400


class TestSQLiteTotals(TotalsMemoryContract):
    @pytest.fixture
    def open_memory(self, tmp_path: Path) -> Callable[[], TotalsMemory]:
        SQLiteStore(tmp_path / "cache.db").create_table("cache", META)
        return lambda: SQLiteTotals(tmp_path / "cache.db", timeout_s=30)


class TestBigtableTotals(TotalsMemoryContract):
    @pytest.fixture
    def open_memory(self, bigtable_clients: DataClients) -> Callable[[], TotalsMemory]:
        return lambda: BigtableTotals(PROJECT, "totals", bigtable_clients, timeout_s=30)


def test_a_file_keeps_totals_for_a_month_and_only_so_many(tmp_path: Path) -> None:
    now_s = [1_000_000_000.0]
    memory = SQLiteTotals(tmp_path / "cache.db", kept=3, clock=lambda: now_s[0])
    memory.write("cache", {1: b"1"})
    now_s[0] += 30 * DAY_S
    memory.write("cache", {2: b"2"})
    assert memory.read("cache", ids(1, 2)) == {1: b"1", 2: b"2"}
    now_s[0] += 2 * DAY_S
    assert memory.read("cache", ids(1, 2)) == {2: b"2"}
    memory.write("cache", {3: b"3", 4: b"4"})
    memory.write("other", {5: b"5"})
    assert memory.read("cache", ids(1, 2, 3, 4)) == {3: b"3", 4: b"4"}
    assert memory.read("other", ids(5)) == {5: b"5"}
    memory.close()


def families_of(instance: str) -> dict[str, Any]:
    with admin._admin_client() as client:
        table = client.get_table(name=f"projects/{PROJECT}/instances/{instance}/tables/l2cache_states")
    return dict(table.column_families)


@pytest.mark.parametrize("families", [None, {"state": "max_num_versions: 1"}])
@pytest.mark.parametrize("first", ["read", "write"])
def test_table_or_column_family_are_made_where_nobody_did(
    bigtable_environment: Emulator, families: dict[str, str | None] | None, first: str
) -> None:
    instance = f"fresh-{uuid.uuid4().hex[:12]}"
    if families is not None:
        admin.create_table(PROJECT, instance, "l2cache_states", families)
    memory = open_totals(f"bigtable://{PROJECT}/{instance}")
    if first == "read":
        assert memory.read("cache", ids(1)) == {}
    memory.write("cache", {1: b"a"})
    assert memory.read("cache", ids(1)) == {1: b"a"}
    rules = families_of(instance)["totals"].gc_rule.union.rules
    assert [rule.max_age.days for rule in rules if "max_age" in rule] == [31]
    assert "state" in families_of(instance)
    memory.close()


def test_where_the_family_may_not_be_made_that_is_tried_once(
    bigtable_environment: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refuse(*arguments: object) -> bool:
        tries.append(arguments)
        raise PermissionDenied("no bigtable.tables.create")

    monkeypatch.setattr("shared.store.bigtable_family.create_table", refuse)
    memory = open_totals(f"bigtable://{PROJECT}/fresh-{uuid.uuid4().hex[:12]}")
    for _ in range(3):
        with pytest.raises(StorageUnavailableError):
            memory.read("cache", np.array([1], dtype=np.uint64))
    assert len(tries) == 1
    memory.close()


@pytest.mark.parametrize("address", ["sqlite://file.db", "bigtable://p/i/t", "redis://host", "nothing"])
def test_an_address_of_no_store_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        open_totals(address)
