"""The cache tables: what a store promises, whatever holds the rows."""

from __future__ import annotations

import re

from shared.config.address import unknown_scheme
from shared.errors import ConfigurationError
from shared.store.protocol import UNKNOWN, CachedCells, CacheStore, NodeState, TableMeta

__all__ = ["UNKNOWN", "CacheStore", "CachedCells", "NodeState", "TableMeta", "open_store"]

_BIGTABLE = re.compile(r"bigtable://(?P<project>[a-z0-9][a-z0-9.:-]*)/(?P<instance>[a-z][a-z0-9-]*)")


def open_store(address: str) -> CacheStore:
    """The store at an address.

    Args:
      address: `sqlite:///ABSOLUTE/FILE` or `bigtable://PROJECT/INSTANCE`.

    Raises:
      ConfigurationError: if there is no such kind of store, or the address is malformed.
    """
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.sqlite.file import sqlite_path
        from shared.store.sqlite import SQLiteStore

        return SQLiteStore(sqlite_path(address))
    if scheme == "bigtable":
        from shared.store.bigtable import BigtableStore

        place = _BIGTABLE.fullmatch(address)
        if place is None:
            raise ConfigurationError("a Bigtable store's address must be bigtable://PROJECT/INSTANCE")
        return BigtableStore(place["project"], place["instance"])
    # no more of the address is repeated: it may hold a password
    raise ConfigurationError(
        f"L2CACHE_STORE must be sqlite:///ABSOLUTE/FILE or bigtable://PROJECT/INSTANCE; {unknown_scheme(address)}"
    )
