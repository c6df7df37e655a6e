"""The protocol of what all instances remember of whole neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from shared.types import UInt64Array

TOTALS_KEPT = 1_000_000
"""How many totals a SQLite file keeps; in Bigtable their age is the bound."""


class TotalsMemory(Protocol):
    """Values by cache table and root, kept for a month at most. An instance may be used by many threads.

    They are lost without harm. Whoever reads them knows their form, which says of itself which one it is.
    """

    def read(self, table_id: str, root_ids: UInt64Array) -> dict[int, bytes]:
        """The values of those of `root_ids` (any order, duplicates allowed) that have one.

        Raises:
          StorageUnavailableError: if they cannot be read, or have no place.
        """

    def write(self, table_id: str, values: Mapping[int, bytes]) -> None:
        """Sets values by root, in place of those before.

        Raises:
          StorageUnavailableError: if they cannot be written, or have no place.
        """

    def close(self) -> None:
        """Closes the connections."""
