"""What all instances remember of whole neurons, in Bigtable, beside the states of ids."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from shared.errors import L2CacheError, StorageUnavailableError, TableNotFoundError
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.admin import add_families, create_table
from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.errors import storage_errors
from shared.google.bigtable.mutations import mutate_rows, set_cells
from shared.google.bigtable.reader import RowReader
from shared.google.bigtable.rows import rows_of
from shared.once import Once
from shared.store.states import STATE_FAMILIES, STATES_TABLE, TOTALS_FAMILY
from shared.types import UInt64Array

if TYPE_CHECKING:
    from google.cloud.bigtable_v2.types import RowFilter

T = TypeVar("T")
_QUALIFIER = "total"
_ROOT_DIGITS = 20


class BigtableTotals:
    """The `TotalsMemory` of a Bigtable instance.

    Table and column family are Terraform's to make. Where nobody did, as on an emulator, they are made at the first
    use, if that is allowed.
    """

    def __init__(self, project: str, instance: str, clients: DataClients, timeout_s: float = 2.0) -> None:
        """Nothing is connected before the first use.

        Args:
          project: Google Cloud project.
          instance: Bigtable instance.
          clients: where the client comes from, which may be shared with the store; closed with this.
          timeout_s: how long a read or write is tried.
        """
        self._project, self._instance = project, instance
        self._name = TableAddress(project, instance, STATES_TABLE).path
        self._clients = clients
        self._client = Once(lambda: clients.streams(project))
        self._reader = RowReader(self._client, timeout_s, timeout_s)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._may_make = True

    def read(self, table_id: str, root_ids: UInt64Array) -> dict[int, bytes]:
        """As `TotalsMemory.read`."""
        keys = [_row_key(table_id, root) for root in np.unique(root_ids).tolist()]
        rows = self._in_place(lambda: self._reader.by_key(self._name, keys, _newest_total(), rows_of))
        return {int(key[-_ROOT_DIGITS:]): cells[0][2] for key, cells in rows}

    def write(self, table_id: str, values: Mapping[int, bytes]) -> None:
        """As `TotalsMemory.write`."""
        entries = [
            set_cells(_row_key(table_id, root), TOTALS_FAMILY, {_QUALIFIER: value}) for root, value in values.items()
        ]
        if entries:
            self._in_place(lambda: mutate_rows(self._client(), self._name, entries, self._timeout_s, self._timeout_s))

    def close(self) -> None:
        """As `TotalsMemory.close`."""
        self._reader.close()
        self._clients.close()

    def _in_place(self, work: Callable[[], T]) -> T:
        """What `work` returns, with table and column family made where there are none."""
        try:
            with storage_errors(STATES_TABLE):
                return work()
        except L2CacheError as error:
            if not _has_no_place(error):
                raise
            if not self._made_place():
                raise StorageUnavailableError("totals have no place in the storage") from error
        with storage_errors(STATES_TABLE):
            return work()

    def _made_place(self) -> bool:
        """Makes table or column family, unless that has been tried."""
        with self._lock:
            may_make, self._may_make = self._may_make, False
        if may_make:
            place = self._project, self._instance, STATES_TABLE
            with storage_errors(STATES_TABLE):
                if not create_table(*place, STATE_FAMILIES):
                    add_families(*place, {TOTALS_FAMILY: STATE_FAMILIES[TOTALS_FAMILY]})
        return may_make


def _row_key(table_id: str, root: int) -> bytes:
    """`#` is in no cache table's name, so that no row of a state has this key."""
    return f"totals#{table_id}/{root:0{_ROOT_DIGITS}d}".encode()


def _has_no_place(error: L2CacheError) -> bool:
    """Whether the table is missing, or its column family, which Bigtable and its emulator say in different ways."""
    return isinstance(error, TableNotFoundError) or "family" in str(error.__cause__)


def _newest_total() -> RowFilter:
    """Lets the newest total of each row pass."""
    from google.cloud.bigtable_v2.types import ColumnRange, RowFilter

    column = ColumnRange(
        family_name=TOTALS_FAMILY,
        start_qualifier_closed=_QUALIFIER.encode(),
        end_qualifier_closed=_QUALIFIER.encode(),
    )
    newest = [RowFilter(column_range_filter=column), RowFilter(cells_per_column_limit_filter=1)]
    return RowFilter(chain=RowFilter.Chain(filters=newest))
