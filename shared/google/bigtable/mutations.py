"""Writing rows through bare protocol buffers.

The data client makes several objects of every cell. For rows as small as ours that takes four times as long as all the
rest of a write, on the core that could compute chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from shared.google.retry import is_transient, transient_retry

if TYPE_CHECKING:
    from google.cloud.bigtable_v2 import BigtableClient
    from google.cloud.bigtable_v2.types import RowFilter

# google.rpc.Code.UNAVAILABLE, for rows that an answer which broke off says nothing of
_UNANSWERED = 14, "not answered"

Entry: TypeAlias = Any
"""All mutations of one row, which are done together or not at all: a protocol buffer, `MutateRowsRequest.Entry`."""


def set_cells(row_key: bytes, family: str, cells: Mapping[str, bytes], timestamp_us: int | None = None) -> Entry:
    """Sets cells of a row.

    Args:
      row_key: of the row.
      family: the column family of all of them.
      cells: value by qualifier.
      timestamp_us: of the cells, in whole milliseconds; None for the present one.
    """
    entry = _entry_type()(row_key=row_key)
    add_cells(entry, family, cells, _now_us() if timestamp_us is None else timestamp_us)
    return entry


def add_cells(entry: Entry, family: str, cells: Mapping[str, bytes], timestamp_us: int) -> None:
    """Adds mutations to a row that set cells; see `set_cells`."""
    for qualifier, value in cells.items():
        cell = entry.mutations.add().set_cell
        cell.family_name, cell.column_qualifier, cell.timestamp_micros = family, qualifier.encode(), timestamp_us
        cell.value = value


def replace_cell(row_key: bytes, family: str, qualifier: str, value: bytes | None) -> Entry:
    """Deletes a cell with all its versions, then sets it: what a clock that ran ahead wrote cannot hide it.

    With None as its value the cell is only deleted.
    """
    entry = _entry_type()(row_key=row_key)
    deletion = entry.mutations.add().delete_from_column
    deletion.family_name, deletion.column_qualifier = family, qualifier.encode()
    if value is not None:
        add_cells(entry, family, {qualifier: value}, _now_us())
    return entry


def cell_is(family: str, qualifier: str, value: bytes | None) -> RowFilter:
    """A filter that lets the newest cell of a column pass if it has a value; whatever its value for None."""
    from google.cloud.bigtable_v2.types import ColumnRange, RowFilter, ValueRange

    name = qualifier.encode()
    column = ColumnRange(family_name=family, start_qualifier_closed=name, end_qualifier_closed=name)
    parts = [RowFilter(column_range_filter=column), RowFilter(cells_per_column_limit_filter=1)]
    if value is not None:
        same = ValueRange(start_value_closed=value, end_value_closed=value)
        parts.append(RowFilter(value_range_filter=same))
    return RowFilter(chain=RowFilter.Chain(filters=parts))


def replace_if(
    client: BigtableClient,
    table_name: str,
    entry: Entry,
    *,
    condition: RowFilter,
    negate: bool,
    is_ours: Callable[[], bool],
    timeout_s: float,
    attempt_timeout_s: float,
) -> bool:
    """Changes a row if something of it passes a filter, or if nothing does; both in one step of Bigtable's.

    The request may be applied although its answer gets lost. So before it is repeated, it is looked up whether it was.

    Args:
      client: of the instance.
      table_name: `projects/PROJECT/instances/INSTANCE/tables/TABLE`.
      entry: the row and its changes.
      condition: the filter.
      negate: whether nothing must pass.
      is_ours: tells whether the row is as the changes leave it, and nobody else would.
      timeout_s: how long this is tried.
      attempt_timeout_s: time-out of one request.

    Returns:
      Whether the row was changed.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if the row cannot be changed.
      google.api_core.exceptions.RetryError: if transient errors do not end.
    """
    from google.cloud.bigtable_v2 import CheckAndMutateRowRequest

    changes = "false_mutations" if negate else "true_mutations"
    request = CheckAndMutateRowRequest.wrap(
        CheckAndMutateRowRequest.pb()(
            table_name=table_name,
            row_key=entry.row_key,
            predicate_filter=type(condition).pb(condition),
            **{changes: entry.mutations},
        )
    )
    attempts = count()

    def attempt() -> bool:
        if next(attempts) and is_ours():
            return True
        return client.check_and_mutate_row(request, retry=None, timeout=attempt_timeout_s).predicate_matched != negate

    return transient_retry(timeout_s)(attempt)()


def mutate_rows(
    client: BigtableClient, table_name: str, entries: Sequence[Entry], timeout_s: float, attempt_timeout_s: float
) -> None:
    """Writes rows in one request, and those that failed for a transient reason once more until they are written.

    Args:
      client: of the instance.
      table_name: `projects/PROJECT/instances/INSTANCE/tables/TABLE`.
      entries: the rows, with no more than 100,000 mutations; doing one twice must be harmless.
      timeout_s: how long this is tried.
      attempt_timeout_s: time-out of one request.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if a row cannot be written; others may have been.
      google.api_core.exceptions.RetryError: if transient errors do not end.
    """
    from google.cloud.bigtable_v2 import MutateRowsRequest

    pending = list(entries)

    def attempt() -> None:
        nonlocal pending
        request = MutateRowsRequest.wrap(MutateRowsRequest.pb()(table_name=table_name, entries=pending))
        failures: dict[int, tuple[int, str]] = dict.fromkeys(range(len(pending)), _UNANSWERED)
        for answer in client.mutate_rows(request, retry=None, timeout=attempt_timeout_s):
            for result in type(answer).pb(answer).entries:
                if result.status.code:
                    failures[result.index] = result.status.code, result.status.message
                else:
                    failures.pop(result.index, None)
        pending = [pending[number] for number in sorted(failures)]
        _raise_worst(set(failures.values()))

    transient_retry(timeout_s)(attempt)()


def _raise_worst(failures: Collection[tuple[int, str]]) -> None:
    """Raises one of the rows' errors: one that no retry fixes, if there is one."""
    from google.api_core.exceptions import from_grpc_status

    errors = [from_grpc_status(code, message) for code, message in failures]
    for error in sorted(errors, key=is_transient):
        raise error


@cache
def _entry_type() -> Any:
    from google.cloud.bigtable_v2 import MutateRowsRequest

    return MutateRowsRequest.Entry.pb()


def _now_us() -> int:
    return time.time_ns() // 1_000_000 * 1000
