"""Values of nodes that change in time: which one held at a moment, for whole arrays of nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.types import Int64Array, UInt64Array


@dataclass(frozen=True)
class History:
    """Cells (node, time, value), sorted by node and then by time.

    Attributes:
      nodes: uint64[m], distinct, ascending.
      ends: int64[m], the end of each node's cells in the arrays below.
      times_ms: int64[n].
      values: uint64[n].
    """

    nodes: UInt64Array
    ends: Int64Array
    times_ms: Int64Array
    values: UInt64Array

    @classmethod
    def of(cls, nodes: UInt64Array, times_ms: Int64Array, values: UInt64Array) -> History:
        """The history made of cells in any order; of two cells with the same node and time the later one counts."""
        order = np.lexsort((np.arange(nodes.size), times_ms, nodes))
        distinct, starts = np.unique(nodes[order], return_index=True)
        ends = np.append(starts[1:], nodes.size).astype(np.int64)[: distinct.size]
        return cls(distinct, ends, times_ms[order], values[order])

    def with_cells(self, nodes: UInt64Array, times_ms: Int64Array, values: UInt64Array) -> History:
        """A history of these cells and more."""
        counts = np.diff(self.ends, prepend=0)
        return History.of(
            np.concatenate([np.repeat(self.nodes, counts), nodes]),
            np.concatenate([self.times_ms, times_ms]),
            np.concatenate([self.values, values]),
        )

    def at(self, nodes: UInt64Array, time_ms: int | None) -> UInt64Array:
        """Value of each node at a time: that of the newest cell not later than it.

        Args:
          nodes: uint64[n], any order, repetitions allowed.
          time_ms: milliseconds since 1970; None for the newest cell of all.

        Returns:
          uint64[n], 0 for a node without such a cell.
        """
        if not self.nodes.size:
            return np.zeros(nodes.size, dtype=np.uint64)
        place = np.minimum(np.searchsorted(self.nodes, nodes), self.nodes.size - 1)
        known = self.nodes[place] == nodes
        first = np.where(place > 0, self.ends[place - 1], 0)
        cell = self.ends[place] - 1
        if time_ms is not None:
            # Few nodes have more than a few cells: stepping back all of them at once is fastest.
            while (late := known & (self.times_ms[cell] > time_ms)).any():
                cell[late] -= 1
                known &= cell >= first
                cell = np.maximum(cell, 0)
        return np.where(known, self.values[cell], np.uint64(0))
