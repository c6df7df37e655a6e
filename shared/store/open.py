"""The cache tables: what a store promises, whatever holds the rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.config.address import unknown_scheme
from shared.errors import ConfigurationError
from shared.store.protocol import UNKNOWN, CachedCells, CacheStore, NodeState, TableMeta
from shared.store.quota import QuotaCounters
from shared.store.totals import TotalsMemory

if TYPE_CHECKING:
    from shared.google.bigtable.address import InstanceAddress
    from shared.google.bigtable.clients import DataClients

__all__ = [
    "UNKNOWN",
    "CacheStore",
    "CachedCells",
    "NodeState",
    "QuotaCounters",
    "TableMeta",
    "TotalsMemory",
    "open_counters",
    "open_store",
    "open_totals",
]


def open_store(address: str, attributes: AttributeTable = ATTRIBUTES, clients: DataClients | None = None) -> CacheStore:
    """The store at an address.

    Args:
      address: `sqlite:///ABSOLUTE/FILE` or `bigtable://PROJECT/INSTANCE`.
      attributes: what can be read.
      clients: where a client of Bigtable comes from, if it is shared with others; closed with the store.

    Raises:
      ConfigurationError: if there is no such kind of store, or the address is malformed.
    """
    place = _place(address)
    if isinstance(place, Path):
        from shared.store.sqlite import SQLiteStore

        return SQLiteStore(place, attributes=attributes)
    from shared.store.bigtable import BigtableStore

    return BigtableStore(place.project, place.instance, clients, attributes=attributes)


def open_counters(address: str, clients: DataClients | None = None) -> QuotaCounters:
    """The counters of what callers have had of a minute, beside the store at an address.

    Args:
      address: of the store.
      clients: as for the store.

    Raises:
      ConfigurationError: if there is no such kind of store, or the address is malformed.
    """
    place = _place(address)
    if isinstance(place, Path):
        from shared.store.sqlite_quota import SQLiteCounters

        return SQLiteCounters(place)
    from shared.google.bigtable.clients import DataClients
    from shared.store.bigtable_quota import BigtableCounters

    return BigtableCounters(place.project, place.instance, clients or DataClients())


def open_totals(address: str, clients: DataClients | None = None) -> TotalsMemory:
    """What is remembered of whole neurons, beside the store at an address.

    Args:
      address: of the store.
      clients: as for the store.

    Raises:
      ConfigurationError: if there is no such kind of store, or the address is malformed.
    """
    place = _place(address)
    if isinstance(place, Path):
        from shared.store.sqlite_totals import SQLiteTotals

        return SQLiteTotals(place)
    from shared.google.bigtable.clients import DataClients
    from shared.store.bigtable_totals import BigtableTotals

    return BigtableTotals(place.project, place.instance, clients or DataClients())


def _place(address: str) -> Path | InstanceAddress:
    """Where a store is: its file, or its instance of Bigtable."""
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.sqlite.file import sqlite_path

        return sqlite_path(address)
    if scheme == "bigtable":
        from shared.google.bigtable.address import InstanceAddress

        return InstanceAddress.parse(address)
    # no more of the address is repeated: it may hold a password
    raise ConfigurationError(
        f"L2CACHE_STORE must be sqlite:///ABSOLUTE/FILE or bigtable://PROJECT/INSTANCE; {unknown_scheme(address)}"
    )
