"""Edits of a made world on a running stack, and misses that could be in their way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import requests

from infra.local.stack import LocalStack
from infra.standin.world.parameters import TABLE
from shared.bus.open import open_bus
from shared.geometry.ids import L2_LAYER
from shared.messages.messages import encode_misses
from shared.types import UInt64Array
from tests.support.graph.made_worlds import geometry_of, l2_ids_of
from tests.support.stack.client import answer, look_up, wait_until

L2CACHE_ID = f"l2cache_{TABLE}_v1"
POLL_S = 0.01
_PUBLISHERS = 8
# A chunk of a made world has far fewer nodes.
_FIRST_UNKNOWN = 500_000


def unknown_ids(world: Path, number: int) -> UInt64Array:
    """So many ids of a world's chunks that no node has, those of a chunk together."""
    bits = np.uint64(geometry_of(world).layout.segment_bits(L2_LAYER))
    chunks = np.unique(l2_ids_of(world) >> bits)
    per_chunk = -(-number // len(chunks))
    segments = np.arange(_FIRST_UNKNOWN, _FIRST_UNKNOWN + per_chunk, dtype=np.uint64)
    return ((chunks[:, None] << bits) | segments).ravel()[:number]


def publish_misses(stack: LocalStack, l2_ids: UInt64Array, ids_per_message: int) -> int:
    """Publishes misses as the look-up function does; returns how many messages they are."""
    messages = encode_misses(TABLE, L2CACHE_ID, l2_ids, 8 * ids_per_message)
    bus = open_bus(stack.services.bus)
    with ThreadPoolExecutor(_PUBLISHERS) as pool:
        list(pool.map(lambda message: bus.publish(*message), messages))
    bus.close()
    return len(messages)


def edits(stack: LocalStack, world: dict[str, Any]) -> Iterator[list[int]]:
    """Makes edits at the graph server, one when the next is asked for: the new L2 ids of each, without end.

    Args:
      stack: with the world's graph server.
      world: what its builder tells of it.
    """
    url = f"{stack.graph_url}/segmentation/api/v1/table/{TABLE}"
    while True:
        for one, other in world["merges"]:
            yield _edit(f"{url}/merge", [one, other])
            yield _edit(f"{url}/split", {"sources": [one], "sinks": [other]})


def seconds_until_served(stack: LocalStack, l2_ids: list[int]) -> float:
    """Waits until the look-up function has the rows of all these ids; how long that took."""
    start_s = time.monotonic()

    def served() -> bool:
        return all(look_up(stack.lookup_url, TABLE, l2_ids, update_cache="false").values())

    wait_until(served, f"the rows of {len(l2_ids)} nodes", look_s=POLL_S)
    return time.monotonic() - start_s


def _edit(url: str, body: object) -> list[int]:
    ids: list[int] = answer(requests.post(url, json=body, timeout=60))["new_lvl2_ids"]
    return ids
