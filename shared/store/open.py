"""The cache tables: what a store promises, whatever holds the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.config.address import unknown_scheme
from shared.errors import ConfigurationError
from shared.store.protocol import UNKNOWN, CachedCells, CacheStore, NodeState, TableMeta
from shared.store.quota import QuotaCounters
from shared.store.totals import TotalsMemory

if TYPE_CHECKING:
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
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.sqlite.file import sqlite_path
        from shared.store.sqlite import SQLiteStore

        return SQLiteStore(sqlite_path(address), attributes=attributes)
    if scheme == "bigtable":
        from shared.google.bigtable.address import InstanceAddress
        from shared.store.bigtable import BigtableStore

        place = InstanceAddress.parse(address)
        return BigtableStore(place.project, place.instance, clients, attributes=attributes)
    raise _wrong(address)


def open_counters(address: str, clients: DataClients | None = None) -> QuotaCounters:
    """The counters of what callers have had of a minute, beside the store at an address.

    Args:
      address: of the store.
      clients: as for the store.

    Raises:
      ConfigurationError: if there is no such kind of store, or the address is malformed.
    """
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.sqlite.file import sqlite_path
        from shared.store.sqlite_quota import SQLiteCounters

        return SQLiteCounters(sqlite_path(address))
    if scheme == "bigtable":
        from shared.google.bigtable.address import InstanceAddress
        from shared.google.bigtable.clients import DataClients
        from shared.store.bigtable_quota import BigtableCounters

        place = InstanceAddress.parse(address)
        return BigtableCounters(place.project, place.instance, clients or DataClients())
    raise _wrong(address)


def open_totals(address: str, clients: DataClients | None = None) -> TotalsMemory:
    """What is remembered of whole neurons, beside the store at an address.

    Args:
      address: of the store.
      clients: as for the store.

    Raises:
      ConfigurationError: if there is no such kind of store, or the address is malformed.
    """
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.sqlite.file import sqlite_path
        from shared.store.sqlite_totals import SQLiteTotals

        return SQLiteTotals(sqlite_path(address))
    if scheme == "bigtable":
        from shared.google.bigtable.address import InstanceAddress
        from shared.google.bigtable.clients import DataClients
        from shared.store.bigtable_totals import BigtableTotals

        place = InstanceAddress.parse(address)
        return BigtableTotals(place.project, place.instance, clients or DataClients())
    raise _wrong(address)


def _wrong(address: str) -> ConfigurationError:
    # no more of the address is repeated: it may hold a password
    return ConfigurationError(
        f"L2CACHE_STORE must be sqlite:///ABSOLUTE/FILE or bigtable://PROJECT/INSTANCE; {unknown_scheme(address)}"
    )
