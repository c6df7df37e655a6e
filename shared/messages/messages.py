"""The messages of the bus that the compute function knows: edits and misses, read and written.

An edit comes from the chunked graph server after each merge or split; its data is a pickle, or JSON with the same keys.
A miss comes from the look-up function; its data is the raw ids. A miss carries `l2_cache_id`, an edit does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.documents.json_object import decode_object
from shared.errors import BadMessageError
from shared.safe_pickle.decoder import DEFAULT_LIMITS, loads
from shared.types import UInt64Array

GRAPH_ATTRIBUTE = "table_id"
"""On the wire `table_id` is the graph: `graph_id` everywhere in the code, where `table_id` is a cache table."""

CACHE_ATTRIBUTE = "l2_cache_id"
"""The cache table: `l2cache_id` in a dataset, `table_id` where tables are read and written."""

WAITED_ATTRIBUTE = "l2cache_waited"
WAITED_ATTRIBUTES = {WAITED_ATTRIBUTE: "true"}
"""What a miss that somebody waits for carries beside the attributes of all misses."""

PRIORITY_ATTRIBUTE = "remesh_priority"
TRACE_ATTRIBUTE = "googclient_traceparent"
"""Where Google's clients put the trace that a message was published in, as a W3C `traceparent`."""

_ID_BYTES = 8
_MAX_ID = 2**64 - 1


@dataclass(frozen=True, eq=False)
class EditMessage:
    """Announces an edit of the graph.

    Attributes:
      graph_id: the graph that was edited.
      operation_id: the edit's number; None where the producer left it out.
      l2_ids: uint64[n], the L2 ids that the edit made, as they were sent.
    """

    graph_id: str
    operation_id: int | None
    l2_ids: UInt64Array


@dataclass(frozen=True, eq=False)
class MissMessage:
    """Lists ids that were asked for and are not cached.

    Attributes:
      graph_id: the graph that the ids belong to.
      l2cache_id: the cache table that lacks them.
      l2_ids: uint64[n], as they were sent; none at all in the messages of some producers.
    """

    graph_id: str
    l2cache_id: str
    l2_ids: UInt64Array


def is_urgent(attributes: Mapping[str, str]) -> bool:
    """Whether a message goes the way of those that somebody waits for, where no miss is ever in front of it.

    Edits do, unless their producer says that they may wait (`remesh_priority` is "false"); misses do not, unless they
    say that somebody waits (`l2cache_waited` is "true").
    """
    if CACHE_ATTRIBUTE in attributes:
        return attributes.get(WAITED_ATTRIBUTE) == "true"
    return attributes.get(PRIORITY_ATTRIBUTE) != "false"


def decode(attributes: Mapping[str, str], data: bytes) -> EditMessage | MissMessage:
    """The message in a delivery of the bus.

    Raises:
      BadMessageError: naming what is missing or cannot be read. Nothing in `data` is executed.
    """
    graph_id = _attribute(attributes, GRAPH_ATTRIBUTE)
    if CACHE_ATTRIBUTE in attributes:
        return MissMessage(graph_id, _attribute(attributes, CACHE_ATTRIBUTE), _raw_ids(data))
    edit = _edit_data(data)
    return EditMessage(graph_id, _operation_id(edit), _ids(edit))


def encode_misses(
    graph_id: str, l2cache_id: str, l2_ids: UInt64Array, message_bytes: int
) -> list[tuple[dict[str, str], bytes]]:
    """The messages that tell of missing ids.

    Args:
      graph_id: the graph that the ids belong to.
      l2cache_id: the cache table that lacks them.
      l2_ids: uint64[n].
      message_bytes: most bytes of data in one message, at least 8.

    Returns:
      Pairs of attributes and data, for `Publisher.publish`; none for no ids.
    """
    ids_per_message = message_bytes // _ID_BYTES
    if ids_per_message < 1:
        raise ValueError(f"a message of {message_bytes} bytes holds no id")
    raw = np.ascontiguousarray(l2_ids, dtype="<u8").tobytes()
    step = ids_per_message * _ID_BYTES
    attributes = {GRAPH_ATTRIBUTE: graph_id, CACHE_ATTRIBUTE: l2cache_id}
    return [(dict(attributes), raw[start : start + step]) for start in range(0, len(raw), step)]


def _attribute(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not isinstance(value, str) or not value:
        raise BadMessageError(f"a message without {name}")
    return value


def _raw_ids(data: bytes) -> UInt64Array:
    if len(data) % _ID_BYTES:
        raise BadMessageError(f"a miss of {len(data)} bytes, which is no whole number of ids")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


def _edit_data(data: bytes) -> dict[Any, Any]:
    """What an edit's data says: JSON if it starts like an object, which no pickle does; else a pickle."""
    edit = _json(data) if data.lstrip().startswith(b"{") else loads(data)
    if not isinstance(edit, dict):
        raise BadMessageError(f"an edit must be a dictionary, not {type(edit).__name__}")
    return edit


def _json(data: bytes) -> dict[str, Any]:
    if len(data) > DEFAULT_LIMITS.max_bytes:
        raise BadMessageError(f"an edit of {len(data)} bytes; at most {DEFAULT_LIMITS.max_bytes} are read")
    return decode_object(data, "an edit", BadMessageError, strict=False)


def _operation_id(edit: Mapping[Any, Any]) -> int | None:
    value = edit.get("operation_id")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise BadMessageError(f"an edit whose operation_id is no integer but {type(value).__name__}")
    return int(value)


def _ids(edit: Mapping[Any, Any]) -> UInt64Array:
    values = edit.get("new_lvl2_ids")
    if isinstance(values, np.ndarray):
        return _ids_of_array(values)
    if not isinstance(values, list | tuple):
        raise BadMessageError(f"an edit's new_lvl2_ids must be a list of ids, not {type(values).__name__}")
    for position, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value <= _MAX_ID:
            raise BadMessageError(f"an edit whose new_lvl2_ids holds what is no id, at position {position}")
    return np.array([int(value) for value in values], dtype=np.uint64)


def _ids_of_array(values: npt.NDArray[Any]) -> UInt64Array:
    if values.ndim != 1:
        raise BadMessageError(f"an edit's new_lvl2_ids must be one row of ids, not an array of shape {values.shape}")
    if values.size and int(values.min()) < 0:
        raise BadMessageError("an edit whose new_lvl2_ids holds a negative number")
    return values.astype(np.uint64)
