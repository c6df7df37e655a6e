"""The chunked graph, asked over HTTP from its graph server."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np

from shared.errors import GraphResponseError, GraphUnavailableError
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import L2_LAYER, SUPERVOXEL_LAYER, l2_id_range, layers
from shared.graph.address import GraphAddress
from shared.graph.children import SupervoxelOwners
from shared.graph.countdown import TimeLeft, countdown
from shared.graph.leaves import batches, json_object, leaves_of_many, leaves_of_one
from shared.graph.members import check_members
from shared.graph.moment import unix_ms
from shared.graph.protocol import L2Mapping, RootNodes
from shared.graph.server_roots import ServerRoots
from shared.graph.single_flight import SingleFlight
from shared.graph.transport import GraphTransport, ServerFaultError
from shared.types import BoolArray, Triple, UInt64Array

_SUPERVOXELS_PER_REQUEST = 250_000
_NODES_PER_REQUEST = 500
# Up to so many nodes of a chunk are asked for singly: that moves less than all that the chunk ever had.
_FEW_NODES = 2
_NO_IDS = np.empty(0, dtype=np.uint64)
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
        self._geometry = SingleFlight(self._ask_for_geometry, "the graph's description")
        self._roots = ServerRoots(address, transport, self._executor)

    def geometry(self) -> GraphGeometry:
        """See `Graph.geometry`."""
        return self._geometry()

    def _ask_for_geometry(self) -> GraphGeometry:
        return GraphGeometry.from_info(self._transport.get(self._address.info_url, json_object))

    def l2_of_supervoxels(self, supervoxels: UInt64Array, timestamp: datetime | None) -> L2Mapping:
        """See `Graph.l2_of_supervoxels`."""
        parents = self._parents(supervoxels, timestamp)
        itself = (parents == supervoxels) & (parents != 0)
        not_yet = np.zeros(supervoxels.size, dtype=np.bool_)
        if timestamp is not None and itself.any():
            # Before the graph existed a supervoxel comes back as itself; but so it does at any moment if the graph
            # knows none of those in a request.
            now = self._parents(supervoxels[itself], None)
            not_yet[itself] = self._are_above_supervoxels(now)
        is_node = ~itself & (layers(parents, self.geometry().layout) == L2_LAYER)
        impossible = ~itself & (parents != 0) & ~self._are_above_supervoxels(parents)
        return L2Mapping(np.where(is_node, parents, np.uint64(0)), impossible, not_yet)

    def supervoxels_of(self, l2_ids: UInt64Array, within_s: float | None = None) -> dict[int, UInt64Array]:
        """See `Graph.supervoxels_of`."""
        wanted = np.unique(l2_ids)
        layout = self.geometry().layout
        left_s = countdown(within_s)
        found: dict[int, UInt64Array] = {}
        for part in batches(wanted, _NODES_PER_REQUEST):
            found.update(self._leaves_of_many(part, left_s()))
        # An empty answer for many is no sure sign that the graph does not know a node.
        left_open = np.array([l2_id for l2_id in wanted.tolist() if not len(found.get(l2_id, ()))], dtype=np.uint64)
        found.update(self._settled(left_open, left_s))
        members = {l2_id: found[l2_id] for l2_id in wanted.tolist()}
        check_members(members, layout)
        return members

    def l2_ids_at(self, chunks: Sequence[Triple], timestamp: datetime | None) -> list[UInt64Array]:
        """See `Graph.l2_ids_at`: a request for each chunk. Of the nodes made until then, the later one has a higher id,
        and holds what it claims.
        """

        def ids_at(chunk: Triple) -> UInt64Array:
            return SupervoxelOwners.of_pairs(*self._made_in_chunk(chunk, timestamp)).nodes

        return list(self._executor.map(ids_at, chunks))

    def l2_ids_ever(self, chunks: Sequence[Triple]) -> list[UInt64Array]:
        """See `Graph.l2_ids_ever`."""
        return list(self._executor.map(lambda chunk: np.unique(self._made_in_chunk(chunk)[0]), chunks))

    def l2_ids_of_roots(self, root_ids: UInt64Array) -> RootNodes:
        """See `Graph.l2_ids_of_roots`."""
        return self._roots.l2_ids_of(root_ids, self.geometry().layout)

    def _parents(self, supervoxels: UInt64Array, timestamp: datetime | None) -> UInt64Array:
        params = {"stop_layer": str(L2_LAYER)}
        if timestamp is not None:
            params["timestamp"] = _unix_s(timestamp)
        parts = [self._parents_of_some(part, params) for part in batches(supervoxels, _SUPERVOXELS_PER_REQUEST)]
        return np.concatenate([_NO_IDS, *parts])

    def _parents_of_some(self, supervoxels: UInt64Array, params: dict[str, str]) -> UInt64Array:
        def read(body: bytes) -> UInt64Array:
            if len(body) != supervoxels.size * _LITTLE_ENDIAN.itemsize:
                raise ValueError(f"{supervoxels.size} ids are expected, {len(body)} bytes came")
            return np.frombuffer(body, dtype=_LITTLE_ENDIAN).astype(np.uint64)

        url = self._address.api_url("roots_binary")
        body = supervoxels.astype(_LITTLE_ENDIAN).tobytes()
        return self._transport.post(url, read, body, "application/octet-stream", params)

    def _are_above_supervoxels(self, node_ids: UInt64Array) -> BoolArray:
        """Whether ids are of a layer that the graph has above the supervoxels: bool[n]."""
        layout = self.geometry().layout
        return np.isin(layers(node_ids, layout), [layer for layer, _ in layout.spatial_bits if layer >= L2_LAYER])

    def _leaves_of_many(self, l2_ids: UInt64Array, within_s: float) -> dict[int, UInt64Array]:
        """Supervoxels of the nodes that the server answers for in one request; none where it does not know how."""
        url = self._address.api_url("node/leaves_many")
        body = json.dumps({"node_ids": l2_ids.tolist()}).encode()
        params = {"stop_layer": str(SUPERVOXEL_LAYER)}
        try:
            return self._transport.post(url, leaves_of_many, body, "application/json", params, False, within_s)
        except (GraphResponseError, ServerFaultError):
            return {}

    def _settled(self, l2_ids: UInt64Array, left_s: TimeLeft) -> dict[int, UInt64Array]:
        """The supervoxels of nodes, none for those that the graph does not know, in as few requests as possible."""
        found: dict[int, UInt64Array] = {}
        for chunk, ids in self.geometry().group_by_chunk(l2_ids):
            if len(ids) > _FEW_NODES:
                found.update(self._members_in_chunk(chunk, ids, left_s()))
        singly = [l2_id for l2_id in l2_ids.tolist() if l2_id not in found]
        leaves = self._executor.map(lambda l2_id: self._leaves(l2_id, left_s()), singly)
        return {**found, **dict(zip(singly, leaves, strict=True))}

    def _members_in_chunk(self, chunk: Triple, l2_ids: UInt64Array, within_s: float) -> dict[int, UInt64Array]:
        """The supervoxels of nodes of a chunk, out of all that it ever had; no answer where the server has no such.

        Raises:
          GraphUnavailableError: if nodes of other chunks are named: then nothing can be said of those that are not.
        """
        try:
            nodes, supervoxels = self._made_in_chunk(chunk, retry_faults=False, within_s=within_s)
        except (GraphResponseError, ServerFaultError):
            return {}
        order = np.argsort(nodes, kind="stable")
        starts, ends = (np.searchsorted(nodes[order], l2_ids, side) for side in ("left", "right"))
        return {
            l2_id: np.unique(supervoxels[order[start:end]])
            for l2_id, start, end in zip(l2_ids.tolist(), starts, ends, strict=True)
        }

    def _made_in_chunk(
        self, chunk: Triple, timestamp: datetime | None = None, *, retry_faults: bool = True, within_s: float = math.inf
    ) -> tuple[UInt64Array, UInt64Array]:
        """All nodes of a chunk that were made until a moment, superseded ones among them, each with each supervoxel.

        Raises:
          GraphUnavailableError: if nodes of other chunks are named: then nothing can be said of those that are not.
        """
        first, last = l2_id_range(chunk, self.geometry().layout)
        moment = "" if timestamp is None else f"&timestamp={_unix_s(timestamp)}"
        url = self._address.api_url(f"l2_chunk_children_binary/{first}?as_array=True{moment}")
        nodes, supervoxels = self._transport.get(url, _pairs, retry_faults=retry_faults, within_s=within_s)
        if nodes.size and not (first <= int(nodes.min()) and int(nodes.max()) <= last):
            raise GraphUnavailableError(f"the graph names nodes of other chunks for chunk {chunk}")
        return nodes, supervoxels

    def _leaves(self, l2_id: int, within_s: float) -> UInt64Array:
        """Supervoxels of one node, asked without `bounds`: they could only cut some off."""
        url = self._address.api_url(f"node/{l2_id}/leaves")
        return self._transport.get(url, lambda body: leaves_of_one(body, l2_id), within_s=within_s)


def _pairs(body: bytes) -> tuple[UInt64Array, UInt64Array]:
    """The first and the second ids of a list of pairs."""
    if len(body) % (2 * _LITTLE_ENDIAN.itemsize):
        raise ValueError(f"pairs of ids are expected, {len(body)} bytes came")
    pairs = np.frombuffer(body, dtype=_LITTLE_ENDIAN).astype(np.uint64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _unix_s(timestamp: datetime) -> str:
    """Seconds since 1970, down to the graph's own granularity of a millisecond, without a fraction if there is none."""
    seconds, rest = divmod(unix_ms(timestamp), 1000)
    return f"{seconds}.{rest:03d}" if rest else str(seconds)
