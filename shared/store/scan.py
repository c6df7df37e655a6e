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
    def of(cls, rows: Iterable[tuple[int, bool]]) -> ScannedIds:
        """Out of ids and whether their rows are empty, in any order."""
        ordered = sorted(rows)
        ids = np.fromiter((l2_id for l2_id, _ in ordered), np.uint64, len(ordered))
        return cls(ids, np.fromiter((empty for _, empty in ordered), np.bool_, len(ordered)))


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
    with_ids = ((node_id(key), cells[0]) for key, cells in rows)
    return ScannedIds.of(
        (l2_id, qualifier == SIZE.name.encode() and value == VOXELLESS_SIZE)
        for l2_id, (qualifier, _, value) in with_ids
        if l2_id is not None
    )


def signed_ranges(ranges: Sequence[IdRange]) -> list[IdRange]:
    """Ranges of ids as ranges of signed integers of the same 64 bits, for SQLite."""
    parts: list[IdRange] = []
    for first, last in ranges:
        if first < _MIDDLE <= last:
            parts += [(first, _MIDDLE - 1), (-_MIDDLE, last - 2 * _MIDDLE)]
        else:
            parts.append((first, last) if last < _MIDDLE else (first - 2 * _MIDDLE, last - 2 * _MIDDLE))
    return parts
