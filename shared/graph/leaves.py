"""Lists of node ids in a graph server's JSON answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from shared.documents.json_object import decode_object
from shared.types import UInt64Array


def leaf_ids(leaves: Any, node_id: int) -> UInt64Array:
    """The ids in a list of a node's leaves, ascending and distinct; the node itself is none of them.

    Raises:
      ValueError: if it is no list of ids.
    """
    if not isinstance(leaves, list):
        raise ValueError("the leaves of a node must be a list")
    try:
        ids = np.unique(np.array([int(leaf) for leaf in leaves], dtype=np.uint64))
    except (OverflowError, TypeError) as error:
        raise ValueError("a leaf is no id") from error
    others: UInt64Array = ids[ids != np.uint64(node_id)]
    return others


def leaves_of_one(body: bytes, node_id: int) -> UInt64Array:
    """The leaves in the answer of `node/ID/leaves`, as `leaf_ids` gives them.

    Raises:
      ValueError: if it is malformed.
    """
    return leaf_ids(json_object(body).get("leaf_ids"), node_id)


def leaves_of_many(body: bytes) -> dict[int, UInt64Array]:
    """The leaves of each node in the answer of `node/leaves_many`, as `leaf_ids` gives them.

    Raises:
      ValueError: if it is malformed.
    """
    return {int(node_id): leaf_ids(leaves, int(node_id)) for node_id, leaves in json_object(body).items()}


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in an answer.

    Raises:
      ValueError: if it is none.
    """
    return decode_object(body, "an answer", ValueError, strict=False)


def batches(ids: UInt64Array, size: int) -> Iterator[UInt64Array]:
    """Ids in parts of at most `size`, in their order."""
    for start in range(0, ids.size, size):
        yield ids[start : start + size]
