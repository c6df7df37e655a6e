"""Cache tables in Cloud Bigtable, as PCGL2Cache lays them out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from shared.attributes import ATTRIBUTES, SIZE, VOXELLESS_SIZE, AttributeTable, feature_cells
from shared.geometry.ids import distinct_ids, node_key
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.admin import create_table
from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.errors import storage_errors
from shared.google.bigtable.mutations import Entry, cell_is, mutate_rows, replace_cell, replace_if, set_cells
from shared.google.bigtable.reader import RowReader
from shared.google.bigtable.rows import merge_rows, rows_of
from shared.once import Once
from shared.store.bigtable_rows import row_entry, rows_cell_for_cell
from shared.store.bigtable_states import BigtableStates
from shared.store.protocol import CachedCells, NodeState, TableMeta
from shared.store.rows import StoredRows, no_rows
from shared.store.scan import IdRange, ScannedIds, row_ranges, scanned
from shared.store.table_format import (
    FAMILIES,
    FAMILY,
    MARK_FAMILY,
    META_KEY,
    META_QUALIFIER,
    check_known,
    check_table_id,
    decode_meta,
    first_cells,
    mark_place,
    mark_rows,
    marks_of,
)
from shared.types import UInt64Array

if TYPE_CHECKING:
    from google.cloud.bigtable.data import Row, Table
    from google.cloud.bigtable_v2.types import RowFilter

    from shared.features.result import Features

_ROWS_PER_WRITE = 5000
_MUTATIONS_PER_WRITE = 100_000
_ATTEMPT_TIMEOUT_S = 30.0


class BigtableStore:
    """The `CacheStore` of a Bigtable instance: one client for all tables, made when it is first needed."""

    def __init__(
        self,
        project: str,
        instance: str,
        clients: DataClients | None = None,
        read_timeout_s: float = 60.0,
        write_timeout_s: float = 120.0,
        attributes: AttributeTable = ATTRIBUTES,
    ) -> None:
        """Nothing is connected before the first use, so that a server process can fork before.

        Args:
          project: Google Cloud project.
          instance: Bigtable instance.
          clients: where the client comes from, if it is shared with others.
          read_timeout_s: how long a read is tried before it fails.
          write_timeout_s: how long a write is tried before it fails.
          attributes: what can be read.
        """
        self._attributes = attributes
        self._timeouts_s = read_timeout_s, write_timeout_s
        self._project, self._instance = project, instance
        self._clients = clients or DataClients()
        self._lock = threading.Lock()
        self._tables: dict[str, Table] = {}
        self._streams = Once(lambda: self._clients.streams(project))
        self._reader = RowReader(Once(self._clients.rows), *_with_attempt(read_timeout_s))
        self._states = BigtableStates(project, instance, self._streams, self._reader, _with_attempt(write_timeout_s))

    def create_table(self, table_id: str, meta: TableMeta) -> bool:
        """As `CacheStore.create_table`. A table whose making was cut short before it had its meta gets it now.

        Raises:
          ConfigurationError: if no table can have that name.
        """
        check_table_id(table_id)
        with storage_errors(table_id):
            is_new = create_table(self._project, self._instance, table_id, FAMILIES)
        if is_new or self._meta_cell(table_id) is None:
            self._write(
                table_id,
                (set_cells(key, FAMILY, {name: value}) for key, (name, value) in first_cells(meta).items()),
            )
        return is_new

    def read_meta(self, table_id: str) -> TableMeta:
        """As `CacheStore.read_meta`."""
        return decode_meta(table_id, self._meta_cell(table_id))

    def read_cells(self, table_id: str, l2_ids: UInt64Array, attributes: Sequence[str]) -> CachedCells:
        """As `CacheStore.read_cells`; many ids are read in several streams at once."""
        wanted, known = self._attributes.select(attributes), self._attributes
        ids = distinct_ids(np.asarray(l2_ids, dtype=np.uint64))
        # every row of ours has a size, so that asking for it too tells a row without the wanted cells from none
        read = known.select([SIZE.name, *attributes])
        newest = _newest(tuple(attribute.name for attribute in read), are_all=len(read) == len(known))
        found = self._read_nodes(table_id, ids, newest)
        if len(read) < len(known) and len(found) < len(ids):
            missing = ids[~np.isin(ids, np.fromiter(found, np.uint64, len(found)))]
            others = self._read_nodes(table_id, missing, _presence(known))
            found |= {l2_id: {} for l2_id in others}
        order = sorted(found)
        names = [(attribute.name, attribute.name.encode()) for attribute in wanted]
        columns = {name: [found[l2_id].get(qualifier, b"") for l2_id in order] for name, qualifier in names}
        return CachedCells(np.array(order, dtype=np.uint64), columns)

    def scan_ids(self, table_id: str, ranges: Sequence[IdRange]) -> ScannedIds:
        """As `CacheStore.scan_ids`: a stream of all ranges, with the first cell of each row."""
        name = self._name(table_id)
        if not ranges:
            return scanned(())
        with storage_errors(table_id):
            return scanned(self._reader.rows(name, row_ranges(ranges), _first_cell(self._attributes), rows_of))

    def scan_rows(self, table_id: str, ranges: Sequence[IdRange]) -> StoredRows:
        """As `CacheStore.scan_rows`: a stream of all ranges, with the newest cell of each column of all families."""
        name = self._name(table_id)
        if not ranges:
            return no_rows(self._attributes)
        read = partial(rows_of, with_families=True)
        with storage_errors(table_id):
            found = self._reader.rows(name, row_ranges(ranges), _newest_of_all(), read)
        return rows_cell_for_cell(found, self._attributes)

    def write_rows(self, table_id: str, rows: StoredRows) -> None:
        """As `CacheStore.write_rows`; each row is written whole or not at all, its cells with their own times."""
        self._write(table_id, map(row_entry, rows.rows(), repeat(rows.times_us)))

    def write_features(self, table_id: str, features: Features) -> None:
        """As `CacheStore.write_features`; each row is written whole or not at all."""
        self._write(table_id, (set_cells(node_key(l2_id), FAMILY, cells) for l2_id, cells in feature_cells(features)))

    def write_voxelless(self, table_id: str, l2_ids: UInt64Array) -> None:
        """As `CacheStore.write_voxelless`."""
        cells = {SIZE.name: VOXELLESS_SIZE}
        self._write(table_id, (set_cells(node_key(l2_id), FAMILY, cells) for l2_id in l2_ids.tolist()))

    def write_marks(self, table_id: str, marks: Mapping[str, bytes | None]) -> None:
        """As `CacheStore.write_marks`."""
        self._write(table_id, (_mark(key, value) for key, value in marks.items()))

    def replace_mark(self, table_id: str, key: str, expected: bytes | None, value: bytes) -> bool:
        """As `CacheStore.replace_mark`."""
        name, timeout_s = self._name(table_id), self._timeouts_s[1]
        with storage_errors(table_id):
            return replace_if(
                self._streams(),
                name,
                _mark(key, value),
                condition=cell_is(MARK_FAMILY, mark_place(key)[1], expected),
                negate=expected is None,
                is_ours=lambda: self.read_marks(table_id, key).get(key) == value,
                timeout_s=timeout_s,
                attempt_timeout_s=min(timeout_s, _ATTEMPT_TIMEOUT_S),
            )

    def read_marks(self, table_id: str, prefix: str) -> dict[str, bytes]:
        """As `CacheStore.read_marks`."""
        from google.cloud.bigtable_v2.types import RowRange, RowSet

        place = mark_rows(prefix)
        rows = RowSet(
            row_keys=[place.row], row_ranges=[RowRange(start_key_closed=place.start, end_key_open=place.stop)]
        )
        with storage_errors(table_id):
            found = self._reader.rows(self._name(table_id), rows, _newest_marks(), merge_rows)
        cells = ((key, qualifier.decode(), value) for key, row in found for qualifier, value in row.items())
        return marks_of(cells, prefix)

    def write_states(self, table_id: str, states: Mapping[int, NodeState]) -> None:
        """As `CacheStore.write_states`."""
        self._states.write(table_id, states)

    def read_states(self, table_id: str, l2_ids: UInt64Array) -> dict[int, NodeState]:
        """As `CacheStore.read_states`."""
        return self._states.read(table_id, l2_ids)

    def close(self) -> None:
        """As `CacheStore.close`."""
        self._reader.close()
        with self._lock:
            for table in self._tables.values():
                table.close()
            self._tables.clear()
        self._clients.close()

    def _table(self, table_id: str) -> Table:
        check_known(table_id)
        with self._lock:
            if table_id not in self._tables:
                read_s, attempt_s = _with_attempt(self._timeouts_s[0])
                self._tables[table_id] = self._clients.get(self._project).get_table(
                    self._instance,
                    table_id,
                    default_read_rows_attempt_timeout=attempt_s,
                    default_read_rows_operation_timeout=read_s,
                )
            return self._tables[table_id]

    def _meta_cell(self, table_id: str) -> bytes | None:
        from google.cloud.bigtable.data.row_filters import CellsColumnLimitFilter

        with storage_errors(table_id):
            row = self._table(table_id).read_row(META_KEY, row_filter=CellsColumnLimitFilter(1))
        return None if row is None else _value(row, FAMILY, META_QUALIFIER)

    def _read_nodes(self, table_id: str, ids: UInt64Array, row_filter: RowFilter) -> dict[int, dict[bytes, bytes]]:
        """The cells of those ids that have any that pass the filter: {id: {qualifier: value}}."""
        keys = [node_key(l2_id) for l2_id in ids.tolist()]
        with storage_errors(table_id):
            found = self._reader.by_key(self._name(table_id), keys, row_filter, merge_rows)
        return {int(key): cells for key, cells in found}

    def _write(self, table_id: str, entries: Iterable[Entry]) -> None:
        name, rows = self._name(table_id), list(entries)
        most_mutations = max((len(row.mutations) for row in rows), default=1)
        step = min(_ROWS_PER_WRITE, _MUTATIONS_PER_WRITE // most_mutations)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            with storage_errors(table_id):
                mutate_rows(self._streams(), name, part, *_with_attempt(self._timeouts_s[1]))

    def _name(self, table_id: str) -> str:
        """A table's full name."""
        check_known(table_id)
        return TableAddress(self._project, self._instance, table_id).path


def _with_attempt(timeout_s: float) -> tuple[float, float]:
    """A time-out of all tries together, and of one of them."""
    return timeout_s, min(timeout_s, _ATTEMPT_TIMEOUT_S)


@lru_cache
def _newest(attributes: tuple[str, ...], *, are_all: bool) -> RowFilter:
    """Lets the newest cell of each of the attributes pass, of which there are no others if they are all.

    Ranges of one qualifier instead of a regular expression: the emulator compiles an expression for every cell, and so
    needs seven times as long. Made once: making it takes as long as reading a row.
    """
    from google.cloud.bigtable_v2.types import RowFilter

    if are_all or len(attributes) == 1:
        columns = _columns(attributes[0], attributes[-1])
    else:
        several = [_columns(attribute, attribute) for attribute in attributes]
        columns = RowFilter(interleave=RowFilter.Interleave(filters=several))
    return RowFilter(chain=RowFilter.Chain(filters=[columns, RowFilter(cells_per_column_limit_filter=1)]))


def _presence(known: AttributeTable) -> RowFilter:
    """Lets one cell of any attribute pass, without its value."""
    from google.cloud.bigtable_v2.types import RowFilter

    one_cell = [RowFilter(cells_per_row_limit_filter=1), RowFilter(strip_value_transformer=True)]
    any_column = _columns(known.names[0], known.names[-1])
    return RowFilter(chain=RowFilter.Chain(filters=[any_column, *one_cell]))


def _first_cell(known: AttributeTable) -> RowFilter:
    """Lets the first cell of any attribute pass."""
    from google.cloud.bigtable_v2.types import RowFilter

    any_column = _columns(known.names[0], known.names[-1])
    return RowFilter(chain=RowFilter.Chain(filters=[any_column, RowFilter(cells_per_row_limit_filter=1)]))


def _newest_of_all() -> RowFilter:
    """Lets the newest cell of each column of all families pass."""
    from google.cloud.bigtable_v2.types import RowFilter

    return RowFilter(cells_per_column_limit_filter=1)


def _newest_marks() -> RowFilter:
    """Lets the newest value of each mark pass."""
    from google.cloud.bigtable_v2.types import ColumnRange, RowFilter

    marks = RowFilter(column_range_filter=ColumnRange(family_name=MARK_FAMILY))
    return RowFilter(chain=RowFilter.Chain(filters=[marks, RowFilter(cells_per_column_limit_filter=1)]))


def _columns(first: str, last: str) -> RowFilter:
    """Lets the cells of the attributes from one name to another pass."""
    from google.cloud.bigtable_v2.types import ColumnRange, RowFilter

    return RowFilter(
        column_range_filter=ColumnRange(
            family_name=FAMILY,
            start_qualifier_closed=first.encode(),
            end_qualifier_closed=last.encode(),
        )
    )


def _mark(key: str, value: bytes | None) -> Entry:
    row_key, qualifier = mark_place(key)
    return replace_cell(row_key, MARK_FAMILY, qualifier, value)


def _value(row: Row, family: str, qualifier: str) -> bytes | None:
    """The newest value in a column."""
    for cell in row.get_cells(family, qualifier):
        return bytes(cell.value)
    return None
