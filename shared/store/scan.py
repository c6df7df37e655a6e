"""Which nodes have rows, of whole ranges of ids: what a scan of a cache table finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from shared.attributes import SIZE, VOXELLESS_SIZE, Attribute, AttributeTable
from shared.geometry.ids import node_key
from shared.google.bigtable.rows import RowCells
from shared.store.table_format import node_id
from shared.types import BoolArray, UInt64Array

if TYPE_CHECKING:
    from google.cloud.bigtable_v2.types import RowSet

IdRange: TypeAlias = tuple[int, int]
"""First and last id; both belong to it."""

_MIDDLE = 1 << 63


@dataclass(frozen=True, eq=False)
class ScannedIds:
    """The ids of some ranges that have a row.

    Attributes:
      l2_ids: uint64[n], ascending and distinct.
      empty: bool[n], whether the row has nothing but the size of a node without voxels.
    """

    l2_ids: UInt64Array
    empty: BoolArray

    @classmethod
    def of(cls, l2_ids: UInt64Array, empty: BoolArray) -> ScannedIds:
        """Out of distinct ids in any order, uint64[n], and whether their rows are empty, bool[n]."""
        order = np.argsort(l2_ids)
        return cls(l2_ids[order], empty[order])


def before_size(known: AttributeTable) -> list[Attribute]:
    """The attributes that come before the size in a row: one that has none of them and a size of zero is empty."""
    return [attribute for attribute in known if attribute.name < SIZE.name]


def row_ranges(ranges: Sequence[IdRange]) -> RowSet:
    """Ranges of ids as Bigtable's; at least one must be given, since a query for none reads all rows."""
    from google.cloud.bigtable_v2.types import RowRange, RowSet

    keys = [(node_key(first), node_key(last)) for first, last in ranges]
    return RowSet(row_ranges=[RowRange(start_key_closed=first, end_key_closed=last) for first, last in keys])


def scanned(rows: Iterable[tuple[bytes, RowCells]]) -> ScannedIds:
    """Out of the first cell of each row in Bigtable."""
    size, ids, empty = SIZE.name.encode(), [], []
    for key, cells in rows:
        l2_id = node_id(key)
        if l2_id is not None:
            qualifier, _, value = cells[0]
            ids.append(l2_id)
            empty.append(qualifier == size and value == VOXELLESS_SIZE)
    return ScannedIds.of(np.array(ids, dtype=np.uint64), np.array(empty, dtype=np.bool_))


def signed_ranges(ranges: Sequence[IdRange]) -> list[IdRange]:
    """Ranges of ids as ranges of signed integers of the same 64 bits, for SQLite."""
    parts: list[IdRange] = []
    for first, last in ranges:
        if first < _MIDDLE <= last:
            parts += [(first, _MIDDLE - 1), (-_MIDDLE, last - 2 * _MIDDLE)]
        else:
            parts.append((first, last) if last < _MIDDLE else (first - 2 * _MIDDLE, last - 2 * _MIDDLE))
    return parts
