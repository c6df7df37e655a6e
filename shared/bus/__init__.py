"""The message bus, as a producer sees it."""

from __future__ import annotations

import re

from shared.address import unknown_scheme
from shared.bus.protocol import Publisher
from shared.errors import ConfigurationError

__all__ = ["Publisher", "open_bus"]

_PUBSUB = re.compile(r"pubsub://(?P<project>[a-z0-9][a-z0-9.:-]*)/(?P<topic>[A-Za-z][A-Za-z0-9._~+%-]{2,254})")


def open_bus(address: str) -> Publisher:
    """The bus at an address.

    Args:
      address: `sqlite:///ABSOLUTE/FILE` or `pubsub://PROJECT/TOPIC`.

    Raises:
      ConfigurationError: if there is no such kind of bus, or the address is malformed.
    """
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.bus.sqlite import SQLitePublisher
        from shared.sqlite_file import sqlite_path

        return SQLitePublisher(sqlite_path(address))
    if scheme == "pubsub":
        from shared.bus.pubsub import PubSubPublisher

        place = _PUBSUB.fullmatch(address)
        if place is None:
            raise ConfigurationError("a Pub/Sub bus's address must be pubsub://PROJECT/TOPIC")
        return PubSubPublisher(place["project"], place["topic"])
    # no more of the address is repeated: it may hold a password
    raise ConfigurationError(
        f"L2CACHE_BUS must be sqlite:///ABSOLUTE/FILE or pubsub://PROJECT/TOPIC; {unknown_scheme(address)}"
    )
