"""What all instances remember of whole neurons, in Bigtable, beside the states of ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.mutations import mutate_rows, set_cells
from shared.google.bigtable.reader import RowReader
from shared.google.bigtable.rows import rows_of
from shared.once import Once
from shared.store.bigtable_family import StatesFamily
from shared.store.states import STATES_TABLE, TOTALS_FAMILY
from shared.types import UInt64Array

if TYPE_CHECKING:
    from google.cloud.bigtable_v2.types import RowFilter

_QUALIFIER = "total"
_ROOT_DIGITS = 20


class BigtableTotals:
    """The `TotalsMemory` of a Bigtable instance."""

    def __init__(self, project: str, instance: str, clients: DataClients, timeout_s: float = 2.0) -> None:
        """Nothing is connected before the first use.

        Args:
          project: Google Cloud project.
          instance: Bigtable instance.
          clients: where the client comes from, which may be shared with the store; closed with this.
          timeout_s: how long a read or write is tried.
        """
        self._family = StatesFamily(project, instance, TOTALS_FAMILY, "totals")
        self._name = TableAddress(project, instance, STATES_TABLE).path
        self._clients = clients
        self._client = Once(lambda: clients.streams(project))
        self._reader = RowReader(Once(clients.rows), timeout_s, timeout_s)
        self._timeout_s = timeout_s

    def read(self, table_id: str, root_ids: UInt64Array) -> dict[int, bytes]:
        """As `TotalsMemory.read`."""
        keys = [_row_key(table_id, root) for root in np.unique(root_ids).tolist()]
        rows = self._family.use(lambda: self._reader.by_key(self._name, keys, _newest_total(), rows_of))
        return {int(key[-_ROOT_DIGITS:]): cells[0][2] for key, cells in rows}

    def write(self, table_id: str, values: Mapping[int, bytes]) -> None:
        """As `TotalsMemory.write`."""
        entries = [
            set_cells(_row_key(table_id, root), TOTALS_FAMILY, {_QUALIFIER: value}) for root, value in values.items()
        ]
        if entries:
            self._family.use(lambda: mutate_rows(self._client(), self._name, entries, self._timeout_s, self._timeout_s))

    def close(self) -> None:
        """As `TotalsMemory.close`."""
        self._reader.close()
        self._clients.close()


def _row_key(table_id: str, root: int) -> bytes:
    """`#` is in no cache table's name, so that no row of a state has this key."""
    return f"totals#{table_id}/{root:0{_ROOT_DIGITS}d}".encode()


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
