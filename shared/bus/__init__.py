"""The message bus, as a producer sees it."""

from __future__ import annotations

from shared.bus.protocol import Publisher
from shared.errors import ConfigurationError

__all__ = ["Publisher", "open_bus"]


def open_bus(address: str) -> Publisher:
    """The bus at an address.

    Args:
      address: `sqlite:///ABSOLUTE/FILE`.

    Raises:
      ConfigurationError: if there is no such kind of bus, or the address is malformed.
    """
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.bus.sqlite import SQLitePublisher
        from shared.sqlite_file import sqlite_path

        return SQLitePublisher(sqlite_path(address))
    # nothing of the address is repeated: it may hold a password
    raise ConfigurationError("L2CACHE_BUS must be sqlite:///ABSOLUTE/FILE")
