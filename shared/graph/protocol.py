"""The protocol of a chunked graph, as the cache needs it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from shared.datasets import Dataset
from shared.geometry import GraphGeometry
from shared.types import UInt64Array


class Graph(Protocol):
    """One chunked graph. May be used by many threads.

    Where the graph cannot be asked just now, methods raise `GraphUnavailableError`; where it answers what no retry will
    mend, `GraphResponseError`.
    """

    def geometry(self) -> GraphGeometry:
        """The graph's id layout and chunk grid. Asked once, then remembered.

        Raises:
          ConfigurationError: if the graph describes itself in a way that cannot be used.
        """

    def l2_of_supervoxels(self, supervoxels: UInt64Array, timestamp: datetime | None) -> UInt64Array:
        """The L2 nodes that hold supervoxels.

        Args:
          supervoxels: uint64[n], any order, zeros and duplicates allowed.
          timestamp: the moment asked about, aware; None for now.

        Returns:
          uint64[n] in the order of `supervoxels`; 0 where there is no L2 node: an unknown supervoxel, a moment before
          the graph existed, a parent of another layer than 2.
        """

    def supervoxels_of(self, l2_ids: UInt64Array) -> dict[int, UInt64Array]:
        """The supervoxels of L2 nodes, current or superseded.

        Args:
          l2_ids: uint64[n], all of layer 2.

        Returns:
          For each of `l2_ids` its supervoxels, uint64[m], ascending and distinct; empty for an id that the graph does
          not know.
        """


class GraphSource(Protocol):
    """Hands out the graphs of datasets."""

    def get(self, dataset: Dataset) -> Graph:
        """The graph of that dataset; the same instance each time.

        Raises:
          ConfigurationError: if the dataset's `cv_path` names no graph server.
        """
