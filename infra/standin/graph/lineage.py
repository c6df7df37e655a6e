"""What became of roots: the operations that made and superseded them, answered in the graph server's own shapes."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.table import decode_ids
from shared.types import UInt64Array

# PyChunkedGraph calls a graph usable from half a second before its first operation.
MARGIN_BEFORE_FIRST_OPERATION_S = 0.5


def moment(time_ms: int) -> datetime:
    """A time in milliseconds since 1970 as a date in UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time_ms)


def oldest_time(graph: ChunkedGraph) -> datetime | None:
    """The earliest moment at which the server promises answers; None for a table without nodes."""
    if graph.operation_times_ms:
        first = graph.operation_times_ms[min(graph.operation_times_ms)]
        return moment(first) - timedelta(seconds=MARGIN_BEFORE_FIRST_OPERATION_S)
    return moment(min(row.time_ms for row in graph.rows.values())) if graph.rows else None


def former_roots(graph: ChunkedGraph, root: int) -> list[int]:
    """The roots that one edit replaced by this one."""
    value = graph.lineage.get(root, {}).get("former_parents", b"")
    return [int(node) for node in decode_ids(value)]


def delta_roots(graph: ChunkedGraph, since_ms: int, until_ms: int | None) -> tuple[list[int], list[int]]:
    """Roots made by edits after `since_ms` and not after `until_ms`, and the roots that those replaced."""
    made = sorted(
        root
        for root, cells in list(graph.lineage.items())
        if "former_parents" in cells
        and graph.rows[root].time_ms > since_ms
        and (until_ms is None or graph.rows[root].time_ms <= until_ms)
    )
    return made, [old for root in made for old in former_roots(graph, root)]


def change_log(graph: ChunkedGraph, root: int) -> dict[str, Any]:
    """All operations in a root's past, in the server's shape."""
    operations: list[int] = []
    past: set[int] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        former = former_roots(graph, node)
        if former:
            operations.append(int(graph.lineage[node]["operation_id"]))
        pending += [old for old in former if old not in past]
        past.update(former)
    operations = sorted(set(operations))
    users: dict[str, dict[str, int]] = defaultdict(lambda: {"n_mergers": 0, "n_splits": 0})
    for operation in operations:
        cells = graph.operations[operation]
        users[cells["user"].decode()]["n_mergers" if "added_edges" in cells else "n_splits"] += 1
    return {
        "n_mergers": sum(user["n_mergers"] for user in users.values()),
        "n_splits": sum(user["n_splits"] for user in users.values()),
        "operations_ids": operations,
        "past_ids": sorted(past),
        "user_info": dict(users),
    }


def operation_details(graph: ChunkedGraph, operation: int) -> dict[str, Any]:
    """The record of one operation, in the server's shape; empty for an unknown one."""
    cells = graph.operations.get(operation)
    if cells is None:
        return {}
    when = str(moment(graph.operation_times_ms[operation]))
    details: dict[str, Any] = {
        "operation_exception": cells.get("operation_exception", b"").decode(),
        "operation_status": _status(cells["operation_status"]),
        "operation_ts": when,
        "roots": decode_ids(cells["roots"]).tolist(),
        "timestamp": when,
        "user": cells["user"].decode(),
    }
    for name in ("added_edges", "removed_edges"):
        if name in cells:
            details[name] = decode_ids(cells[name]).reshape(-1, 2).tolist()
    for name in ("source_coords", "sink_coords"):
        if name in cells:
            details[name] = np.frombuffer(cells[name], dtype="<i8").reshape(-1, 3).tolist()
    for name in ("source_ids", "sink_ids"):
        if name in cells:
            details[name] = decode_ids(cells[name]).tolist()
    return details


def root_times_s(graph: ChunkedGraph, roots: UInt64Array) -> list[float | None]:
    """When each root was made, in seconds since 1970; None for an unknown one."""
    rows = [graph.rows.get(root) for root in roots.tolist()]
    return [None if row is None else row.time_ms / 1000 for row in rows]


def _status(pickled: bytes) -> int:
    # A pickled small integer is PROTO 4, BININT1, the number, STOP: read without unpickling.
    if len(pickled) != 5 or not pickled.startswith(b"\x80\x04K"):
        raise ValueError("an operation's status is no pickled small integer")
    return pickled[3]
