"""Writing rows through bare protocol buffers.

The data client makes several objects of every cell. For rows as small as ours that takes four times as long as all the
rest of a write, on the core that could compute chunks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from shared.bigtable.errors import is_transient, transient_retry

if TYPE_CHECKING:
    from google.cloud.bigtable_v2 import BigtableClient

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
    _add_cells(entry, family, cells, _now_us() if timestamp_us is None else timestamp_us)
    return entry


def replace_cell(row_key: bytes, family: str, qualifier: str, value: bytes) -> Entry:
    """Deletes a cell with all its versions, then sets it: what a clock that ran ahead wrote cannot hide it."""
    entry = _entry_type()(row_key=row_key)
    deletion = entry.mutations.add().delete_from_column
    deletion.family_name, deletion.column_qualifier = family, qualifier.encode()
    _add_cells(entry, family, {qualifier: value}, _now_us())
    return entry


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
    """Raises one of the rows' errors: one that no retry mends, if there is one."""
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


def _add_cells(entry: Entry, family: str, cells: Mapping[str, bytes], timestamp_us: int) -> None:
    for qualifier, value in cells.items():
        cell = entry.mutations.add().set_cell
        cell.family_name, cell.column_qualifier, cell.timestamp_micros = family, qualifier.encode(), timestamp_us
        cell.value = value
