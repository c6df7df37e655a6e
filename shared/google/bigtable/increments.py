"""Adding to numbers in Bigtable, in one step of Bigtable's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.bigtable_v2 import BigtableClient


def increment(
    client: BigtableClient,
    table_name: str,
    row_key: bytes,
    family: str,
    qualifier: str,
    amount: int,
    timeout_s: float,
) -> int:
    """Adds to a signed number of 8 bytes, which is 0 as long as it is not there. It is not tried again: it may be done.

    Args:
      client: of the instance; its application profile must lead to one cluster.
      table_name: `projects/PROJECT/instances/INSTANCE/tables/TABLE`.
      row_key: of the row.
      family: column family.
      qualifier: of the column.
      amount: what is added; may be negative.
      timeout_s: when to give up.

    Returns:
      What the number is afterwards.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if there is no answer in time; something may have been added.
    """
    from google.cloud.bigtable_v2 import ReadModifyWriteRowRequest

    rule = {"family_name": family, "column_qualifier": qualifier.encode(), "increment_amount": amount}
    request = ReadModifyWriteRowRequest(table_name=table_name, row_key=row_key, rules=[rule])
    row = client.read_modify_write_row(request, retry=None, timeout=timeout_s).row
    return int.from_bytes(row.families[0].columns[0].cells[0].value, "big", signed=True)
