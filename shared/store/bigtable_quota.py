"""Counters of what callers have had of a minute, in Bigtable, beside the states of ids."""

from __future__ import annotations

import threading
from hashlib import sha256

from shared.errors import L2CacheError, StorageUnavailableError, TableNotFoundError
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.admin import add_families, create_table
from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.errors import storage_errors
from shared.google.bigtable.increments import increment
from shared.once import Once
from shared.store.states import QUOTA_FAMILY, STATE_FAMILIES, STATES_TABLE

_QUALIFIER = "total"
_NAME_DIGITS = 32


class BigtableCounters:
    """The `QuotaCounters` of a Bigtable instance.

    Table and column family are Terraform's to make. Where nobody did, as on an emulator, they are made at the first
    use, if that is allowed.
    """

    def __init__(
        self,
        project: str,
        instance: str,
        clients: DataClients,
        timeout_s: float = 0.3,
        first_timeout_s: float = 1.0,
    ) -> None:
        """Nothing is connected before the first use.

        Args:
          project: Google Cloud project.
          instance: Bigtable instance.
          clients: where the client comes from, which may be shared with the store; closed with this.
          timeout_s: how long an answer is waited for.
          first_timeout_s: the same until there has been one, for a connection takes time too.
        """
        self._project, self._instance = project, instance
        self._name = TableAddress(project, instance, STATES_TABLE).path
        self._clients = clients
        self._client = Once(lambda: clients.streams(project))
        self._timeout_s, self._first_timeout_s = timeout_s, first_timeout_s
        self._connected = False
        self._lock = threading.Lock()
        self._may_make = True

    def add(self, counter: str, minute: int, amount: int) -> int:
        """As `QuotaCounters.add`."""
        try:
            return self._add(counter, minute, amount)
        except L2CacheError as error:
            if not _has_no_place(error):
                raise
            if not self._made_place():
                raise StorageUnavailableError("quotas have no place in the storage") from error
        return self._add(counter, minute, amount)

    def close(self) -> None:
        """As `QuotaCounters.close`."""
        self._clients.close()

    def _add(self, counter: str, minute: int, amount: int) -> int:
        timeout_s = self._timeout_s if self._connected else self._first_timeout_s
        with storage_errors(STATES_TABLE):
            total = increment(
                self._client(), self._name, _row_key(counter, minute), QUOTA_FAMILY, _QUALIFIER, amount, timeout_s
            )
        self._connected = True
        return total

    def _made_place(self) -> bool:
        """Makes table or column family, unless that has been tried."""
        with self._lock:
            may_make, self._may_make = self._may_make, False
        if may_make:
            place = self._project, self._instance, STATES_TABLE
            with storage_errors(STATES_TABLE):
                if not create_table(*place, STATE_FAMILIES):
                    add_families(*place, {QUOTA_FAMILY: STATE_FAMILIES[QUOTA_FAMILY]})
        return may_make


def _row_key(counter: str, minute: int) -> bytes:
    """Hashed, since a caller may be an address, or claim to be any text; `#` is in no cache table's name."""
    return f"quota#{sha256(counter.encode(errors='replace')).hexdigest()[:_NAME_DIGITS]}#{minute}".encode()


def _has_no_place(error: L2CacheError) -> bool:
    """Whether the table is missing, or its column family, which Bigtable and its emulator say in different ways."""
    return isinstance(error, TableNotFoundError) or "family" in str(error.__cause__)
