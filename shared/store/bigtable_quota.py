"""Counters of what callers have had of a minute, in Bigtable, beside the states of ids."""

from __future__ import annotations

from hashlib import sha256

from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.increments import increment
from shared.once import Once
from shared.store.bigtable_family import StatesFamily
from shared.store.states import QUOTA_FAMILY, STATES_TABLE

_QUALIFIER = "total"
_NAME_DIGITS = 32


class BigtableCounters:
    """The `QuotaCounters` of a Bigtable instance."""

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
        self._family = StatesFamily(project, instance, QUOTA_FAMILY, "quotas")
        self._name = TableAddress(project, instance, STATES_TABLE).path
        self._clients = clients
        self._client = Once(lambda: clients.streams(project))
        self._timeout_s, self._first_timeout_s = timeout_s, first_timeout_s
        self._connected = False

    def add(self, counter: str, minute: int, amount: int) -> int:
        """As `QuotaCounters.add`."""
        return self._family.use(lambda: self._add(counter, minute, amount))

    def close(self) -> None:
        """As `QuotaCounters.close`."""
        self._clients.close()

    def _add(self, counter: str, minute: int, amount: int) -> int:
        timeout_s = self._timeout_s if self._connected else self._first_timeout_s
        row_key = _row_key(counter, minute)
        total = increment(self._client(), self._name, row_key, QUOTA_FAMILY, _QUALIFIER, amount, timeout_s)
        self._connected = True
        return total


def _row_key(counter: str, minute: int) -> bytes:
    """Hashed, since a caller may be an address, or claim to be any text; `#` is in no cache table's name."""
    return f"quota#{sha256(counter.encode(errors='replace')).hexdigest()[:_NAME_DIGITS]}#{minute}".encode()
