"""Bodies of ids that are too large, and how many ids would fit."""

from __future__ import annotations

import flask

from shared.config.settings import Settings
from shared.errors import TooLargeError
from shared.lookup.query import BINARY_TYPE, ID_BYTES
from shared.web.body import read_body

_TEXT_ID_BYTES = 24  # "18446744073709551615" with a comma and a blank
_OTHER_BYTES = 500  # of a JSON body: keys, and names of attributes


def read_ids_body(request: flask.Request, settings: Settings) -> bytes:
    """As `read_body`; who sends too much is told how many ids would fit.

    Raises:
      TooLargeError: beyond the limit, with that number.
      L2CacheError: as `read_body` for all else.
    """
    try:
        return read_body(request, settings.max_body_bytes)
    except TooLargeError as error:
        fitting = ids_that_fit(settings.max_body_bytes, request.mimetype, settings.max_ids)
        raise TooLargeError(f"{error}: send at most {fitting} ids at a time", fitting) from None


def ids_that_fit(limit_bytes: int, mimetype: str, max_ids: int) -> int:
    """How many ids a body can hold for sure, and a look-up may have.

    Args:
      limit_bytes: of the body, unpacked.
      mimetype: of the body, lower case; in JSON, ids may be text, of as many digits as there can be.
      max_ids: most ids in one look-up.

    >>> ids_that_fit(16_000, "application/octet-stream", 100_000)
    2000
    >>> ids_that_fit(2_900, "application/json", 100_000)
    100
    """
    room = limit_bytes // ID_BYTES if mimetype == BINARY_TYPE else (limit_bytes - _OTHER_BYTES) // _TEXT_ID_BYTES
    return max(0, min(room, max_ids))
