"""The cache tables: what a store promises, whatever holds the rows."""

from shared.store.protocol import CachedCells, CacheStore, TableMeta

__all__ = ["CacheStore", "CachedCells", "TableMeta"]
