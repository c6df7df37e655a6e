"""A graph server that is slow, refuses, breaks off, or is wrong."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from shared.geometry.ids import layers, node_coordinates
from shared.types import Int64Array, UInt64Array
from tests.soak.faults.base import Fault
from tests.soak.site import Site
from tests.soak.stack.graph_proxy import BreakConnectionError, Exchange

MANY_SUPERVOXELS = 20
"""Of a chunk: so many that its answer cannot be wrong unnoticed."""

_AWAY = (r"graph server", "ended without an answer", "50[023]")


class GraphFault(Fault):
    """A fault of a share of the graph server's answers."""

    shares: ClassVar[tuple[float, ...]] = (0.1, 0.5, 1.0)
    explains = _AWAY

    def change(self, site: Site, chance: random.Random) -> tuple[str, Callable[[Exchange], Exchange]]:
        """What becomes of an answer, in words and as a function."""
        raise NotImplementedError

    def inject(self, site: Site, chance: random.Random) -> str:
        share = chance.choice(self.shares)
        words, change = self.change(site, chance)
        site.graph.set(self.name, change, share)
        return f"{words}, {share:.0%} of the answers"

    def mend(self, site: Site) -> None:
        site.graph.clear(self.name)


class SlowGraph(GraphFault):
    """Answers take up to seconds."""

    name = "slow-graph"

    def change(self, site: Site, chance: random.Random) -> tuple[str, Callable[[Exchange], Exchange]]:
        longest_s = chance.choice([0.3, 2.0, 8.0])

        def late(exchange: Exchange) -> Exchange:
            time.sleep(longest_s * chance.random())
            return exchange

        return f"up to {longest_s} s", late


class RefusingGraph(GraphFault):
    """Answers of 5xx and 429."""

    name = "refusing-graph"

    def change(self, site: Site, chance: random.Random) -> tuple[str, Callable[[Exchange], Exchange]]:
        status = chance.choice([500, 502, 503, 429])
        headers = {"Retry-After": "1"} if status == 429 else {}
        body = chance.choice(
            [b"", b"<html>bad gateway</html>", json.dumps({"code": status, "message": "odd"}).encode()]
        )
        return str(status), lambda exchange: replace(exchange, status=status, headers=headers, answer=body)


class BrokenGraph(GraphFault):
    """Connections that break: before the answer, or in the midst of it."""

    name = "broken-graph"

    def change(self, site: Site, chance: random.Random) -> tuple[str, Callable[[Exchange], Exchange]]:
        midway = chance.random() < 0.5

        def broken(exchange: Exchange) -> Exchange:
            if not midway:
                raise BreakConnectionError
            half = exchange.answer[: len(exchange.answer) // 2]
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(exchange.answer)}\r\n\r\n".encode()
            raise BreakConnectionError(head + half)

        return "in the midst of answers" if midway else "before answers", broken


class GarbledGraph(GraphFault):
    """Answers of 200 that are cut off, or no JSON."""

    name = "garbled-graph"

    def change(self, site: Site, chance: random.Random) -> tuple[str, Callable[[Exchange], Exchange]]:
        what = chance.choice(["cut", "html", "null"])

        def garbled(exchange: Exchange) -> Exchange:
            if exchange.status != 200 or exchange.path.split("?")[0].endswith("/info"):
                return exchange
            if what == "cut":
                return replace(exchange, answer=exchange.answer[: max(0, len(exchange.answer) - 5)])
            return replace(exchange, answer=b"<html></html>" if what == "html" else b"null")

        return what, garbled


class WrongGraph(GraphFault):
    """Supervoxels and parents of other chunks, in the place of the true ones."""

    name = "wrong-graph"
    explains = (*_AWAY, "chunk", "supervoxel")

    def change(self, site: Site, chance: random.Random) -> tuple[str, Callable[[Exchange], Exchange]]:
        layout = site.world.geometry.layout
        l2_ids = np.array(site.world.initial_ids, dtype=np.uint64)
        supervoxels = np.array(site.world.supervoxels, dtype=np.uint64)

        def strangers(count: int, pool: UInt64Array, own: UInt64Array) -> UInt64Array:
            """Random ids of chunks that none of `own` is in."""
            ours = {tuple(c) for c in _chunks(own, layout).tolist()}
            places = [chance.randrange(len(pool)) for _ in range(20 * count + 100)]
            picked = pool[np.array(places)]
            foreign = [tuple(c) not in ours for c in _chunks(picked, layout).tolist()]
            kept = picked[np.array(foreign)]
            return np.resize(kept, count) if kept.size else np.zeros(count, dtype=np.uint64)

        def wrong(exchange: Exchange) -> Exchange:
            path = exchange.path.split("?")[0]
            if exchange.status != 200:
                return exchange
            if path.endswith("roots_binary"):
                return replace(exchange, answer=_other_parents(exchange, l2_ids, strangers, layout))
            if path.endswith(("leaves_many", "leaves")):
                return replace(exchange, answer=_other_leaves(exchange, supervoxels, strangers))
            return exchange

        return "ids of other chunks", wrong


def _other_parents(
    exchange: Exchange,
    pool: UInt64Array,
    strangers: Callable[[int, UInt64Array, UInt64Array], UInt64Array],
    layout: Any,
) -> bytes:
    """An answer of `roots_binary` in which all parents of a chunk with many supervoxels are of other chunks."""
    if len(exchange.answer) != len(exchange.body):  # another fault has garbled it
        return exchange.answer
    asked = np.frombuffer(exchange.body, dtype="<u8").astype(np.uint64)
    parents = np.frombuffer(exchange.answer, dtype="<u8").astype(np.uint64)
    if not asked.size:
        return exchange.answer
    _, chunk_of, counts = np.unique(_chunks(asked, layout), axis=0, return_inverse=True, return_counts=True)
    many = np.flatnonzero(counts >= MANY_SUPERVOXELS)
    if many.size:
        theirs = chunk_of.ravel() == many[0]
        parents[theirs] = strangers(int(theirs.sum()), pool, asked[theirs])
    return parents.astype("<u8").tobytes()


def _other_leaves(
    exchange: Exchange, pool: UInt64Array, strangers: Callable[[int, UInt64Array, UInt64Array], UInt64Array]
) -> bytes:
    """An answer of `leaves` or `leaves_many` in which all nodes consist of supervoxels of other chunks."""
    try:
        document = json.loads(exchange.answer)
    except ValueError:
        document = None
    if not isinstance(document, dict):  # another fault has garbled it
        return exchange.answer
    lists = [("leaf_ids", document["leaf_ids"])] if "leaf_ids" in document else list(document.items())
    for key, leaves in lists:
        if leaves:
            document[key] = strangers(len(leaves), pool, np.array(leaves, dtype=np.uint64)).tolist()
    return json.dumps(document).encode()


def _chunks(ids: UInt64Array, layout: Any) -> Int64Array:
    """The chunks of supervoxels or of L2 ids, all of one layer."""
    return node_coordinates(ids, int(layers(ids[:1], layout)[0]), layout)
