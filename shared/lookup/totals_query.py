"""What a client asks of whole neurons: the roots in a body, a box, and the options beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.documents.json_object import decode_object
from shared.errors import BadRequestError
from shared.lookup.parameters import FORMAT, INT64_AS_STR, UPDATE_CACHE, WAIT, Option, ignored_names
from shared.lookup.query import json_ids, read_boolean
from shared.lookup.totals import BoundsNm
from shared.types import UInt64Array

TOTALS_OPTIONS = (INT64_AS_STR, UPDATE_CACHE, WAIT, FORMAT)
"""What the query may say."""

L2_IDS_OPTIONS = (INT64_AS_STR,)
"""What the query may say where the L2 ids of roots are asked for."""

MOST_ROOTS = 1_000
"""How many roots a request may name."""


@dataclass(frozen=True, eq=False)
class TotalsQuery:
    """A request for totals.

    Attributes:
      root_ids: uint64[n], in any order, duplicates allowed.
      bounds: only nodes in it count; None for all.
      int64_as_str: whether integers that may need 64 bits are answered as text.
      publish_misses: whether nodes that are not in the cache are to be computed.
      wait_s: how long nodes that are being computed are waited for.
      ignored: names of parameters and keys that mean nothing.
    """

    root_ids: UInt64Array
    bounds: BoundsNm | None = None
    int64_as_str: bool = False
    publish_misses: bool = True
    wait_s: float = 0.0
    ignored: tuple[str, ...] = ()


def parse_totals_query(
    body: bytes,
    parameters: Mapping[str, Sequence[str]],
    wait_s: float = 0.0,
    options: Sequence[Option] = TOTALS_OPTIONS,
) -> TotalsQuery:
    """The totals that a request asks for.

    Args:
      body: unpacked body, JSON.
      parameters: the query string's values by name.
      wait_s: how long the request asks to wait.
      options: what the parameters may be.

    Raises:
      BadRequestError: if the body is malformed, or a name is clearly meant for another.
      InvalidL2IdError: naming the first value that is no unsigned 64-bit integer.
      TooLargeError: with more than `MOST_ROOTS` roots.
    """
    if not body:
        raise BadRequestError('the body is empty: send {"node_ids": [...]}')
    document = decode_object(body, "the body", strict=False, key="node_ids")
    ignored = ignored_names(parameters, options) + ignored_names(document, (), ("node_ids", "bounds"))
    return TotalsQuery(
        root_ids=np.unique(json_ids(document["node_ids"], MOST_ROOTS)),
        bounds=_bounds(document.get("bounds")),
        int64_as_str=read_boolean(parameters.get("int64_as_str"), default=False),
        publish_misses=read_boolean(parameters.get("update_cache"), default=True),
        wait_s=wait_s,
        ignored=ignored,
    )


def _bounds(value: Any) -> BoundsNm | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2 and all(map(_is_point, value))):
        raise BadRequestError("bounds must be two points in nm: [[x, y, z], [x, y, z]]")
    start, stop = ((float(x), float(y), float(z)) for x, y, z in value)
    if not all(low < high for low, high in zip(start, stop, strict=True)):
        raise BadRequestError(
            "bounds must be a lower corner and a higher one: each axis of the first below the second's"
        )
    return BoundsNm(start, stop)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_coordinate, value))


def _is_coordinate(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # a whole number in JSON may be too long for a double
    return abs(value) < 1e300 and math.isfinite(value)
