"""Edits of a served graph: planned, written down, applied and told to the bus, in this order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.edits import USER_ID, Edit, plan_merge, plan_split
from infra.standin.graph.journal import Journal
from shared.bus.protocol import Publisher
from shared.errors import StorageUnavailableError
from shared.types import UInt64Array

_logger = logging.getLogger(__name__)


class GraphEditor:
    """Edits one graph, one edit at a time. May be used by many threads."""

    def __init__(
        self,
        table: str,
        graph: ChunkedGraph,
        inside_chunks: UInt64Array | None = None,
        journal: Journal | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        """Brings the graph to where the journal ends, and publishes what of it no bus has taken.

        Args:
          table: the graph's name, for messages.
          graph: the graph, as its table dump has it.
          inside_chunks: uint64[n, 2], edges inside chunks, if anybody knows them.
          journal: where edits are kept; they are lost with the process if None.
          publisher: where edits are announced, if anywhere.
        """
        self._table, self._graph, self._inside_chunks = table, graph, inside_chunks
        self._journal, self._publisher = journal, publisher
        self._lock = threading.Lock()
        edits, self._unpublished = journal.load() if journal else ([], [])
        graph.add([cell for edit in edits for cell in edit.cells])
        self._last_operation = max(graph.operation_times_ms, default=0)
        newest_row_ms = max((row.time_ms for row in graph.rows.values()), default=0)
        self._last_time_ms = max(newest_row_ms, *graph.operation_times_ms.values(), 0)
        self._publish()

    def merge(self, supervoxels: UInt64Array) -> Edit:
        """Joins the neurons of two supervoxels.

        Raises:
          EditRefusedError: if that is impossible.
        """
        return self._do(partial(plan_merge, self._graph, supervoxels))

    def split(self, sources: UInt64Array, sinks: UInt64Array) -> Edit:
        """Divides a neuron, the sources' side from the sinks'.

        Raises:
          EditRefusedError: if that is impossible.
        """
        return self._do(partial(plan_split, self._graph, sources, sinks, self._inside_chunks))

    def _do(self, plan: Callable[[int, int], Edit]) -> Edit:
        with self._lock:
            # Two edits never share a millisecond, nor does a clock that was set back bring them out of order.
            time_ms = max(time.time_ns() // 1_000_000, self._last_time_ms + 1)
            edit = plan(self._last_operation + 1, time_ms)
            if self._journal:
                self._journal.append(edit)
            self._graph.add(edit.cells)
            self._last_operation, self._last_time_ms = edit.operation_id, time_ms
            self._unpublished.append(edit)
            self._publish()
        return edit

    def _publish(self) -> None:
        """Announces edits that no bus has taken. What it refuses stays for the next edit or the next start."""
        if self._publisher is None:
            return
        attributes = {"table_id": self._table, "user_id": USER_ID, "remesh": "true", "remesh_priority": "true"}
        while self._unpublished:
            edit = self._unpublished[0]
            try:
                self._publisher.publish(attributes, edit.message_data())
            except StorageUnavailableError as error:
                _logger.warning("operation %d is not published yet: %s", edit.operation_id, error)
                return
            if self._journal:
                self._journal.mark_published(edit.operation_id)
            self._unpublished.pop(0)
