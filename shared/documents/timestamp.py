"""Moments of a graph as text: UTC, whole seconds, `YYYY-MM-DD HH:MM:SS`, as in marks, tables' meta and answers."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.errors import BadRequestError

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No chunked graph is older; a moment before it is a slip of the pen."""


def format_utc(moment: datetime) -> str:
    """An aware moment as text. Unlike `strftime`, this writes every year with four digits.

    >>> format_utc(datetime(226, 6, 1, tzinfo=UTC))
    '0226-06-01 00:00:00'
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def parse_utc(text: str) -> datetime:
    """The moment in a text of `format_utc`, or in another form of ISO 8601: aware, UTC, whole seconds.

    A text without a time zone is UTC.

    Raises:
      ValueError: if it is no moment, or one that is not within the years 1 to 9999 of UTC.
    """
    moment = datetime.fromisoformat(text)
    try:
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"not within the years 1 to 9999: {text!r}") from error
    return aware.replace(microsecond=0)


def requested_moment(text: str, now: datetime) -> datetime:
    """The moment that is asked for.

    Raises:
      BadRequestError: if it cannot be understood, or lies in the future or before every graph; the message names it.
    """
    try:
        moment = parse_utc(text)
    except ValueError as error:
        raise BadRequestError(
            f"timestamp cannot be understood: {text[:60]!r}; write 2026-06-01 00:00:00 (UTC) or ISO 8601"
        ) from error
    if moment > now:
        raise BadRequestError(f"timestamp lies in the future: {text[:60]!r}")
    if moment < EARLIEST:
        raise BadRequestError(f"timestamp lies before {format_utc(EARLIEST)}: {text[:60]!r}")
    return moment
