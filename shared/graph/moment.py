"""The moments that a graph can be asked about: whole milliseconds, as its table keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def unix_ms(timestamp: datetime) -> int:
    """Whole milliseconds since 1970 that have passed at an aware moment: rounded down, exactly.

    Raises:
      ValueError: if the timestamp has no time zone.
    """
    if timestamp.tzinfo is None:
        raise ValueError("a timestamp without a time zone")
    return (timestamp - _EPOCH) // _MILLISECOND
