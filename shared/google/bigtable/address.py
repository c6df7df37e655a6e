"""`bigtable://` addresses of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.errors import ConfigurationError

_FORM = re.compile(
    r"bigtable://(?P<project>[a-z0-9][a-z0-9.:-]*)/(?P<instance>[a-z][a-z0-9-]*)/(?P<table>[A-Za-z0-9_][A-Za-z0-9_.-]*)"
)


@dataclass(frozen=True)
class TableAddress:
    """Where a Bigtable table is.

    Attributes:
      project: Google Cloud project.
      instance: Bigtable instance.
      table: the table's id.
    """

    project: str
    instance: str
    table: str

    @classmethod
    def parse(cls, address: str) -> TableAddress:
        """The address in `bigtable://PROJECT/INSTANCE/TABLE`.

        Raises:
          ConfigurationError: if it has another form.
        """
        match = _FORM.fullmatch(address)
        if match is None:
            raise ConfigurationError(f"{address!r} is not of the form bigtable://PROJECT/INSTANCE/TABLE")
        return cls(match["project"], match["instance"], match["table"])

    @property
    def path(self) -> str:
        """The table's name in requests."""
        return f"projects/{self.project}/instances/{self.instance}/tables/{self.table}"

    def __str__(self) -> str:
        return f"bigtable://{self.project}/{self.instance}/{self.table}"
