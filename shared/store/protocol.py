"""The protocol of a cache store and the values that pass through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from shared.types import UInt64Array

if TYPE_CHECKING:
    from shared.features.result import Features
    from shared.store.rows import StoredRows
    from shared.store.scan import IdRange, ScannedIds


@dataclass(frozen=True)
class TableMeta:
    """What a cache table says of itself.

    Attributes:
      graph_id: id of the graph whose L2 nodes it holds.
      cv_path: `graphene://` address of that graph.
      timestamp: the moment of the graph that was ingested; aware, UTC, whole seconds.
    """

    graph_id: str
    cv_path: str
    timestamp: datetime


@dataclass(frozen=True)
class CachedCells:
    """The cells found for a set of ids, by column.

    Attributes:
      l2_ids: uint64[n], ascending and distinct: the asked-for ids that have a row.
      columns: for each asked-for attribute n raw values in the order of `l2_ids`; b"" where the row has no such cell.
    """

    l2_ids: UInt64Array
    columns: Mapping[str, Sequence[bytes]]


UNKNOWN = "unknown"
"""Name of the state of an id that the graph does not know."""

PENDING = "pending"
"""Name of the state of an id that was asked for and is not done yet."""

FAILED = "failed"
"""Name of the state of an id that was given up."""


@dataclass(frozen=True)
class NodeState:
    """What is known of an id that has no row. Where there is a row, the row counts, whatever the state says.

    Attributes:
      name: `UNKNOWN`, `PENDING`, `FAILED`, or a state that another version of this program knows.
      since_s: Unix time from which on it holds; kept to the millisecond.
      reason: why, where there is something to say.
    """

    name: str
    since_s: float
    reason: str = ""


class CacheStore(Protocol):
    """All cache tables of a deployment.

    Rows are a pure function of (graph, volume, L2 id): writing one twice is harmless; writers need no order, no lock.
    An instance may be used by many threads. Where the storage cannot be reached, methods raise
    `StorageUnavailableError`; where the table does not exist, `TableNotFoundError`.
    """

    def create_table(self, table_id: str, meta: TableMeta) -> bool:
        """Makes the table: column families, version and meta. False if it existed: then it is left as it was."""

    def read_meta(self, table_id: str) -> TableMeta:
        """The table's meta, written by us or by PCGL2Cache."""

    def read_cells(self, table_id: str, l2_ids: UInt64Array, attributes: Sequence[str]) -> CachedCells:
        """The newest cells of `attributes` for those of `l2_ids` (any order, duplicates allowed) that have a row.

        A row counts as there if it has any attribute, asked for or not.
        """

    def scan_ids(self, table_id: str, ranges: Sequence[IdRange]) -> ScannedIds:
        """Which ids of some ranges, which do not overlap, have a row; as in `read_cells`, any attribute makes one."""

    def scan_rows(self, table_id: str, ranges: Sequence[IdRange]) -> StoredRows:
        """The rows of some ranges, which do not overlap: the newest cell of each attribute, as it is stored."""

    def write_rows(self, table_id: str, rows: StoredRows) -> None:
        """Writes rows cell for cell, as another table has them. Doing it twice changes nothing."""

    def write_features(self, table_id: str, features: Features) -> None:
        """Writes a row per node, a cell for each attribute. When it returns, the rows are durable."""

    def write_voxelless(self, table_id: str, l2_ids: UInt64Array) -> None:
        """Writes the row of nodes that have no voxels: the single cell `size_nm3` of eight zero bytes."""

    def write_marks(self, table_id: str, marks: Mapping[str, bytes | None]) -> None:
        """Sets marks (progress, runs, failures): small values under text keys, beside the rows, never among them.

        Marks whose keys agree up to the last `/` lie together: thousands that do are read as fast as a few rows. A mark
        whose value is None is removed.
        """

    def replace_mark(self, table_id: str, key: str, expected: bytes | None, value: bytes) -> bool:
        """Sets a mark if its value is `expected` (None: if there is no such mark); of several that try, one succeeds.

        Args:
          table_id: the table.
          key: of the mark.
          expected: the value that it had when it was read.
          value: its new value, which nobody else sets: so it can be told who succeeded when an answer gets lost.

        Returns:
          Whether the mark has the new value.
        """

    def read_marks(self, table_id: str, prefix: str) -> dict[str, bytes]:
        """All marks whose key starts with `prefix`, in ascending order of keys."""

    def write_states(self, table_id: str, states: Mapping[int, NodeState]) -> None:
        """Sets states of ids of a cache table, which need not exist. Of an id's states the one that began last stays.

        Of several that began in the same millisecond the one written last stays. States are kept for a month. Where
        there is no place for them (no table, no permission), they are lost: nothing rests on them but time.
        """

    def read_states(self, table_id: str, l2_ids: UInt64Array) -> dict[int, NodeState]:
        """The states of those of `l2_ids` (any order, duplicates allowed) that have one.

        Where there is no place for states, no id has one.
        """

    def close(self) -> None:
        """Closes the connections."""
