"""States of ids in Bigtable, in one table for all cache tables of an instance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from shared.errors import StorageUnavailableError, TableNotFoundError
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.admin import create_table
from shared.google.bigtable.errors import is_absent, is_refused, storage_errors
from shared.google.bigtable.mutations import Entry, mutate_rows, set_cells
from shared.google.bigtable.reader import RowReader
from shared.google.bigtable.rows import rows_of
from shared.store.protocol import NodeState
from shared.store.states import (
    STATE_FAMILIES,
    STATE_FAMILY,
    STATE_QUALIFIER,
    STATES_TABLE,
    id_of_key,
    state_cell,
    state_key,
    state_of_cell,
)
from shared.store.table_format import check_known
from shared.telemetry.log import event, get_logger
from shared.types import UInt64Array

if TYPE_CHECKING:
    from google.cloud.bigtable_v2 import BigtableClient
    from google.cloud.bigtable_v2.types import RowFilter

T = TypeVar("T")

# 1 mutation a row; a request takes 100,000
_ROWS_PER_WRITE = 20_000
_logger = get_logger("store")


class BigtableStates:
    """Reads and writes the states of ids of all cache tables of an instance.

    The table is Terraform's to make. Where nobody did, as on an emulator, it is made at the first write if that is
    allowed; where it is missing for good, or closed to this program, there are no states, which is logged once.

    Args:
      project: Google Cloud project.
      instance: Bigtable instance.
      client: of bare requests; asked for at the first use.
      reader: reads rows of the instance.
      write_timeouts_s: how long a write is tried before it fails, and the time-out of one request.
    """

    def __init__(
        self,
        project: str,
        instance: str,
        client: Callable[[], BigtableClient],
        reader: RowReader,
        write_timeouts_s: tuple[float, float],
    ) -> None:
        self._project, self._instance = project, instance
        self._name = TableAddress(project, instance, STATES_TABLE).path
        self._client, self._reader = client, reader
        self._timeouts_s = write_timeouts_s
        self._may_create = True
        self._told = False

    def read(self, table_id: str, l2_ids: UInt64Array) -> dict[int, NodeState]:
        """As `CacheStore.read_states`; many are read in several streams at once."""
        check_known(table_id)
        keys = [state_key(table_id, l2_id) for l2_id in np.unique(np.asarray(l2_ids, dtype=np.uint64)).tolist()]
        found = self._where_there_is_a_place(lambda: self._reader.by_key(self._name, keys, _newest_state(), rows_of))
        return {id_of_key(key): state_of_cell(*cells[0][1:]) for key, cells in found or ()}

    def write(self, table_id: str, states: Mapping[int, NodeState]) -> None:
        """As `CacheStore.write_states`."""
        check_known(table_id)
        entries = [_entry(state_key(table_id, l2_id), state) for l2_id, state in states.items()]
        for start in range(0, len(entries), _ROWS_PER_WRITE):
            part = entries[start : start + _ROWS_PER_WRITE]
            self._where_there_is_a_place(partial(self._write_making_the_table, part))

    def _write_making_the_table(self, entries: Sequence[Entry]) -> None:
        try:
            self._write(entries)
        except TableNotFoundError:
            if not self._may_create:
                raise
            self._create()
            self._write(entries)

    def _write(self, entries: Sequence[Entry]) -> None:
        with storage_errors(STATES_TABLE):
            mutate_rows(self._client(), self._name, entries, *self._timeouts_s)

    def _create(self) -> None:
        try:
            with storage_errors(STATES_TABLE):
                create_table(self._project, self._instance, STATES_TABLE, STATE_FAMILIES)
        except StorageUnavailableError as error:
            self._may_create = not is_refused(error)
            raise

    def _where_there_is_a_place(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; None if the table is absent or closed to this program."""
        try:
            with storage_errors(STATES_TABLE):
                return work()
        except (TableNotFoundError, StorageUnavailableError) as error:
            if not is_absent(error) and not is_refused(error):
                raise
            if not self._told:
                self._told = True
                event(_logger, logging.WARNING, "states of ids have no place", reason=repr(error.__cause__))
            return None


def _entry(row_key: bytes, state: NodeState) -> Entry:
    timestamp_us, value = state_cell(state)
    return set_cells(row_key, STATE_FAMILY, {STATE_QUALIFIER: value}, timestamp_us)


def _newest_state() -> RowFilter:
    """Lets the newest state of each id pass."""
    from google.cloud.bigtable_v2.types import ColumnRange, RowFilter

    column = ColumnRange(
        family_name=STATE_FAMILY,
        start_qualifier_closed=STATE_QUALIFIER.encode(),
        end_qualifier_closed=STATE_QUALIFIER.encode(),
    )
    newest = [RowFilter(column_range_filter=column), RowFilter(cells_per_column_limit_filter=1)]
    return RowFilter(chain=RowFilter.Chain(filters=newest))
