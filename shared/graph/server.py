"""The chunked graph, asked over HTTP from its graph server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import numpy as np

from shared.errors import GraphResponseError
from shared.geometry import GraphGeometry
from shared.graph.address import GraphAddress
from shared.graph.moment import unix_ms
from shared.graph.transport import GraphTransport, ServerFaultError
from shared.ids import L2_LAYER, layers
from shared.types import UInt64Array

_SUPERVOXEL_LAYER = 1
_SUPERVOXELS_PER_REQUEST = 250_000
_NODES_PER_REQUEST = 500
_LITTLE_ENDIAN = np.dtype("<u8")


class GraphServer:
    """`Graph` over HTTP.

    Args:
      address: the server and its table.
      transport: sends the requests.
      concurrency: requests at a time when nodes have to be asked for one by one.
    """

    def __init__(self, address: GraphAddress, transport: GraphTransport, concurrency: int = 8) -> None:
        self._address = address
        self._transport = transport
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="graph")
        self._lock = threading.Lock()
        self._geometry: GraphGeometry | None = None

    def geometry(self) -> GraphGeometry:
        """See `Graph.geometry`."""
        with self._lock:
            if self._geometry is None:
                self._geometry = GraphGeometry.from_info(self._transport.get(self._address.info_url, _json_object))
            return self._geometry

    def l2_of_supervoxels(self, supervoxels: UInt64Array, timestamp: datetime | None) -> UInt64Array:
        """See `Graph.l2_of_supervoxels`."""
        params = {"stop_layer": str(L2_LAYER)}
        if timestamp is not None:
            params["timestamp"] = _unix_s(timestamp)
        parts = [self._parents(part, params) for part in _batches(supervoxels, _SUPERVOXELS_PER_REQUEST)]
        parents = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
        # Before the graph existed a supervoxel comes back as itself; odd ones have a parent of a higher layer.
        parents[layers(parents, self.geometry().layout) != L2_LAYER] = 0
        return parents

    def supervoxels_of(self, l2_ids: UInt64Array) -> dict[int, UInt64Array]:
        """See `Graph.supervoxels_of`."""
        wanted = np.unique(l2_ids)
        self.geometry()  # Outside the readers below, which are retried as a whole.
        found: dict[int, UInt64Array] = {}
        for part in _batches(wanted, _NODES_PER_REQUEST):
            found.update(self._leaves_of_many(part))
        # An empty answer for many is asked again for the node alone: only that one is sure to mean "unknown".
        missing = [l2_id for l2_id in wanted.tolist() if not len(found.get(l2_id, ()))]
        found.update(zip(missing, self._executor.map(self._leaves, missing), strict=True))
        return {l2_id: found[l2_id] for l2_id in wanted.tolist()}

    def _parents(self, supervoxels: UInt64Array, params: dict[str, str]) -> UInt64Array:
        def read(body: bytes) -> UInt64Array:
            if len(body) != supervoxels.size * _LITTLE_ENDIAN.itemsize:
                raise ValueError(f"{supervoxels.size} ids are expected, {len(body)} bytes came")
            return np.frombuffer(body, dtype=_LITTLE_ENDIAN).astype(np.uint64)

        url = self._address.api_url("roots_binary")
        body = supervoxels.astype(_LITTLE_ENDIAN).tobytes()
        return self._transport.post(url, read, body, "application/octet-stream", params)

    def _leaves_of_many(self, l2_ids: UInt64Array) -> dict[int, UInt64Array]:
        """Supervoxels of the nodes that the server answers for in one request; none where it does not know how."""

        def read(body: bytes) -> dict[int, UInt64Array]:
            return {int(l2_id): self._supervoxels(leaves) for l2_id, leaves in _json_object(body).items()}

        url = self._address.api_url("node/leaves_many")
        body = json.dumps({"node_ids": l2_ids.tolist()}).encode()
        try:
            return self._transport.post(
                url, read, body, "application/json", {"stop_layer": str(_SUPERVOXEL_LAYER)}, retry_faults=False
            )
        except (GraphResponseError, ServerFaultError):
            return {}

    def _leaves(self, l2_id: int) -> UInt64Array:
        """Supervoxels of one node, asked without `bounds`: they could only cut some off."""

        def read(body: bytes) -> UInt64Array:
            return self._supervoxels(_json_object(body).get("leaf_ids"))

        return self._transport.get(self._address.api_url(f"node/{l2_id}/leaves"), read)

    def _supervoxels(self, leaves: Any) -> UInt64Array:
        if not isinstance(leaves, list):
            raise ValueError("the leaves of a node must be a list")
        try:
            ids = np.unique(np.array([int(leaf) for leaf in leaves], dtype=np.uint64))
        except (OverflowError, TypeError) as error:
            raise ValueError("a leaf is no id") from error
        supervoxels: UInt64Array = ids[layers(ids, self.geometry().layout) == _SUPERVOXEL_LAYER]
        return supervoxels


def _batches(ids: UInt64Array, size: int) -> Iterator[UInt64Array]:
    for start in range(0, ids.size, size):
        yield ids[start : start + size]


def _json_object(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("a JSON object is expected")
    return document


def _unix_s(timestamp: datetime) -> str:
    """Seconds since 1970, down to the graph's own granularity of a millisecond, without a fraction if there is none."""
    seconds, rest = divmod(unix_ms(timestamp), 1000)
    return f"{seconds}.{rest:03d}" if rest else str(seconds)
