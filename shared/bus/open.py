"""The message bus, as a producer sees it."""

from __future__ import annotations

import re

from shared.bus.protocol import Publisher
from shared.config.address import unknown_scheme
from shared.errors import ConfigurationError

__all__ = ["Publisher", "open_bus", "open_dead_letters"]

_PUBSUB = re.compile(r"pubsub://(?P<project>[a-z0-9][a-z0-9.:-]*)/(?P<topic>[A-Za-z][A-Za-z0-9._~+%-]{2,254})")


def open_bus(address: str) -> Publisher:
    """The bus at an address, that of `L2CACHE_BUS`.

    Args:
      address: `sqlite:///ABSOLUTE/FILE` or `pubsub://PROJECT/TOPIC`.

    Raises:
      ConfigurationError: if there is no such kind of bus, or the address is malformed.
    """
    return _open(address, "L2CACHE_BUS", are_dead=False)


def open_dead_letters(address: str) -> Publisher:
    """Where a `DeadLetterBox` publishes, at an address, that of `L2CACHE_DEAD_LETTERS`.

    Args:
      address: `sqlite:///ABSOLUTE/FILE`, of the embedded bus: there they are kept as its own dead letters are; or
        `pubsub://PROJECT/TOPIC`, of a topic for them.

    Raises:
      ConfigurationError: if there is no such kind of bus, or the address is malformed.
    """
    return _open(address, "L2CACHE_DEAD_LETTERS", are_dead=True)


def _open(address: str, variable: str, *, are_dead: bool) -> Publisher:
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.bus.sqlite import SQLiteDeadLetters, SQLitePublisher
        from shared.sqlite.file import sqlite_path

        try:
            path = sqlite_path(address)
        except ConfigurationError as error:
            raise ConfigurationError(f"{variable}: {error}") from error
        return SQLiteDeadLetters(path) if are_dead else SQLitePublisher(path)
    if scheme == "pubsub":
        from shared.bus.pubsub import PubSubPublisher

        place = _PUBSUB.fullmatch(address)
        if place is None:
            raise ConfigurationError(f"{variable}: a Pub/Sub topic's address must be pubsub://PROJECT/TOPIC")
        return PubSubPublisher(place["project"], place["topic"])
    # no more of the address is repeated: it may hold a password
    raise ConfigurationError(
        f"{variable} must be sqlite:///ABSOLUTE/FILE or pubsub://PROJECT/TOPIC; {unknown_scheme(address)}"
    )
