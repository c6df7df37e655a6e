"""The cache tables: what a store promises, whatever holds the rows."""

from __future__ import annotations

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.config.address import unknown_scheme
from shared.errors import ConfigurationError
from shared.store.protocol import UNKNOWN, CachedCells, CacheStore, NodeState, TableMeta

__all__ = ["UNKNOWN", "CacheStore", "CachedCells", "NodeState", "TableMeta", "open_store"]


def open_store(address: str, attributes: AttributeTable = ATTRIBUTES) -> CacheStore:
    """The store at an address.

    Args:
      address: `sqlite:///ABSOLUTE/FILE` or `bigtable://PROJECT/INSTANCE`.
      attributes: what can be read.

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
        return BigtableStore(place.project, place.instance, attributes=attributes)
    # no more of the address is repeated: it may hold a password
    raise ConfigurationError(
        f"L2CACHE_STORE must be sqlite:///ABSOLUTE/FILE or bigtable://PROJECT/INSTANCE; {unknown_scheme(address)}"
    )
