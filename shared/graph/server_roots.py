"""The L2 nodes of roots, asked of a graph server: many roots at once, and singly what that leaves open."""

from __future__ import annotations

import json
from concurrent.futures import Executor

import numpy as np

from shared.deadline import carried
from shared.errors import GraphResponseError
from shared.geometry.ids import L2_LAYER, IdLayout
from shared.graph.address import GraphAddress
from shared.graph.leaves import batches, leaves_of_many, leaves_of_one
from shared.graph.protocol import RootNodes
from shared.graph.roots import NOT_KNOWN, judged_roots
from shared.graph.transport import GraphTransport, ServerFaultError
from shared.types import UInt64Array

_ROOTS_PER_REQUEST = 10
_STOP_LAYER = str(L2_LAYER)
_FAILED = "the graph server fails when it is asked for this node, which may not exist"


class ServerRoots:
    """Asks a graph server for the L2 nodes of roots. May be used by many threads.

    Args:
      address: the server and its table.
      transport: sends the requests.
      executor: sends several of them at once.
    """

    def __init__(self, address: GraphAddress, transport: GraphTransport, executor: Executor) -> None:
        self._address = address
        self._transport = transport
        self._executor = executor

    def l2_ids_of(self, root_ids: UInt64Array, layout: IdLayout) -> RootNodes:
        """See `Graph.l2_ids_of_roots`.

        Args:
          root_ids: uint64[n], in any order, duplicates allowed.
          layout: bit layout of the graph's ids.
        """
        wanted = np.unique(root_ids)
        found: dict[int, UInt64Array] = {}
        for answered in self._executor.map(carried(self._of_many), batches(wanted, _ROOTS_PER_REQUEST)):
            found.update(answered)
        # No nodes in an answer for many is no sure sign that the graph does not know a root.
        nodes = {root: found[root] for root in wanted.tolist() if len(found.get(root, ()))}
        errors = {}
        left_open = [root for root in wanted.tolist() if root not in nodes]
        for root, answer in zip(left_open, self._executor.map(carried(self._of_one), left_open), strict=True):
            if isinstance(answer, str):
                errors[root] = answer
            else:
                nodes[root] = answer
        return judged_roots(nodes, errors, layout)

    def _of_many(self, root_ids: UInt64Array) -> dict[int, UInt64Array]:
        """What the server answers for roots in one request; nothing where it does not know how, or one fails."""
        url = self._address.api_url("node/leaves_many")
        body = json.dumps({"node_ids": root_ids.tolist()}).encode()
        params = {"stop_layer": _STOP_LAYER}
        try:
            return self._transport.post(url, leaves_of_many, body, "application/json", params, retry_faults=False)
        except (GraphResponseError, ServerFaultError):
            return {}

    def _of_one(self, root: int) -> UInt64Array | str:
        """The nodes of a root, none if it does not exist; or what is wrong with it."""
        url = self._address.api_url(f"node/{root}/leaves?stop_layer={_STOP_LAYER}")
        try:
            return self._transport.get(url, lambda body: leaves_of_one(body, root))
        except GraphResponseError:
            return NOT_KNOWN
        except ServerFaultError:
            return _FAILED
