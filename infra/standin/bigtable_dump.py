"""Tables in the Bigtable emulator: making them, and writing a table's dump into them with its timestamps.

Where to is said by the environment variable BIGTABLE_EMULATOR_HOST, as for Google's own clients; without it everything
here refuses to work, so that no real table is ever written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from infra.standin.graph.table import Cell, read_dump_as
from shared.errors import ConfigurationError
from shared.google.bigtable import admin
from shared.google.bigtable.address import TableAddress

ROWS_PER_REQUEST = 4_000


def create_table(address: TableAddress, families: Mapping[str, str | None]) -> None:
    """Makes an empty table.

    Args:
      address: where; project and instance need not exist in the emulator.
      families: column families and their rules for collecting garbage, as in a dump's first line: None,
        `max_num_versions: N` or `max_age { seconds: N }`.

    Raises:
      google.api_core.exceptions.AlreadyExists: if there is such a table.
      ConfigurationError: if a rule is none of these, or no emulator is named.
    """
    _emulator()
    from google.api_core.exceptions import AlreadyExists

    # Dumps spread a rule over lines.
    rules = {family: rule and " ".join(rule.split()) for family, rule in families.items()}
    try:
        made = admin.create_table(address.project, address.instance, address.table, rules)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if not made:
        raise AlreadyExists(f"there is a table {address.table} already")


def write_cells(address: TableAddress, cells: Iterable[Cell]) -> int:
    """Writes cells with their timestamps, those of a row that follow each other at once; returns the number of rows.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if the emulator refuses a request, as for an unknown table.
    """
    endpoint = _emulator()
    import grpc
    from google.cloud.bigtable_v2 import BigtableClient, MutateRowsRequest
    from google.cloud.bigtable_v2.services.bigtable.transports import BigtableGrpcTransport

    rows = groupby(cells, key=lambda cell: cell.key)
    n_rows = 0
    with BigtableClient(transport=BigtableGrpcTransport(channel=grpc.insecure_channel(endpoint))) as client:
        # Bare protocol buffers: the wrappers of Google's data client make this four times slower.
        while entries := [_entry(key, row) for key, row in islice(rows, ROWS_PER_REQUEST)]:
            request = MutateRowsRequest.wrap(MutateRowsRequest.pb()(table_name=address.path, entries=entries))
            statuses = [entry.status for answer in client.mutate_rows(request) for entry in answer.entries]
            refused = [status.message for status in statuses if status.code]
            if refused:
                raise ConfigurationError(f"{len(refused)} rows were refused by the emulator: {refused[0]}")
            n_rows += len(entries)
    return n_rows


def restore_dump(path: Path, address: TableAddress) -> int:
    """Makes a table and fills it with a dump; returns the number of rows.

    Args:
      path: a dump, as `read_dump_as` reads it.
      address: where the table is made, whatever its name in the dump.

    Raises:
      ConfigurationError: if the file is no dump, or as `create_table`.
    """
    families, cells = read_dump_as(path, lambda head: dict(head["families"]))
    create_table(address, families)
    return write_cells(address, cells)


def _entry(key: str, row: Iterator[Cell]) -> Any:
    from google.cloud.bigtable_v2 import MutateRowsRequest, Mutation

    set_cell = Mutation.SetCell.pb()
    mutations = [
        Mutation.pb()(
            set_cell=set_cell(
                family_name=cell.family,
                column_qualifier=cell.qualifier.encode(),
                timestamp_micros=cell.timestamp_us,
                value=cell.value,
            )
        )
        for cell in row
    ]
    return MutateRowsRequest.Entry.pb()(row_key=key.encode(), mutations=mutations)


def _emulator() -> str:
    endpoint = os.environ.get("BIGTABLE_EMULATOR_HOST")
    if not endpoint:
        raise ConfigurationError("BIGTABLE_EMULATOR_HOST must name a Bigtable emulator")
    return endpoint
