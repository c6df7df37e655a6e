"""A column family of the table of states, for what the look-up may write beside these."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from shared.errors import L2CacheError, StorageUnavailableError, TableNotFoundError
from shared.google.bigtable.admin import add_families, create_table
from shared.google.bigtable.errors import storage_errors
from shared.store.states import STATE_FAMILIES, STATES_TABLE

T = TypeVar("T")


class StatesFamily:
    """One of the column families, with its table. May be used by many threads.

    Both are Terraform's to make. Where nobody did, as on an emulator, they are made at the first use, if that is
    allowed.

    Args:
      project: Google Cloud project.
      instance: Bigtable instance.
      family: the column family.
      holds: what is in it, in the plural, for errors.
    """

    def __init__(self, project: str, instance: str, family: str, holds: str) -> None:
        self._place = project, instance, STATES_TABLE
        self._family, self._holds = family, holds
        self._lock = threading.Lock()
        self._may_make = True

    def use(self, work: Callable[[], T]) -> T:
        """What `work`, which reads or writes there, returns; it is done again once table or family were made.

        Raises:
          StorageUnavailableError: if the storage cannot be reached, or there is no such place in it.
        """
        try:
            with storage_errors(STATES_TABLE):
                return work()
        except L2CacheError as error:
            if not _has_no_place(error):
                raise
            if not self._was_made():
                raise StorageUnavailableError(f"{self._holds} have no place in the storage") from error
        with storage_errors(STATES_TABLE):
            return work()

    def _was_made(self) -> bool:
        """Makes table or column family, unless that has been tried."""
        with self._lock:
            may_make, self._may_make = self._may_make, False
        if may_make:
            with storage_errors(STATES_TABLE):
                if not create_table(*self._place, STATE_FAMILIES):
                    add_families(*self._place, {self._family: STATE_FAMILIES[self._family]})
        return may_make


def _has_no_place(error: L2CacheError) -> bool:
    """Whether the table is missing, or its column family, which Bigtable and its emulator say in different ways."""
    return isinstance(error, TableNotFoundError) or "family" in str(error.__cause__)
