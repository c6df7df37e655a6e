"""The protocol of a chunked graph, as the cache needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from shared.config.datasets import Dataset
from shared.geometry.grid import GraphGeometry
from shared.types import BoolArray, Triple, UInt64Array


@dataclass(frozen=True, eq=False)
class L2Mapping:
    """To which L2 nodes a graph gives supervoxels at a moment.

    Attributes:
      l2_ids: uint64[n]; 0 where there is no L2 node: an unknown supervoxel, a moment before the graph existed, a parent
        of another layer than 2.
      impossible: bool[n], where the graph names as parent what no graph can: of a layer that it does not have, or not
        above the supervoxel.
      not_yet: bool[n], where the supervoxel had no parent at that moment, but has one by now: the moment is before the
        graph, or before that part of it.
    """

    l2_ids: UInt64Array
    impossible: BoolArray
    not_yet: BoolArray

    def parts(self, sizes: Sequence[int]) -> list[L2Mapping]:
        """The mappings of the first so many supervoxels, of the next so many, and so on; `sizes` add up to n."""
        ends = np.cumsum(sizes)[:-1]
        split = (np.split(array, ends) for array in (self.l2_ids, self.impossible, self.not_yet))
        return [L2Mapping(*arrays) for arrays in zip(*split, strict=True)][: len(sizes)]


@dataclass(frozen=True, eq=False)
class RootNodes:
    """The L2 nodes that roots consist of.

    Attributes:
      l2_ids: by root uint64[m], ascending and distinct, m at least 1; all of layer 2.
      errors: by root why there are none of it, in words for a client. Each root is in one of the two.
    """

    l2_ids: Mapping[int, UInt64Array]
    errors: Mapping[int, str]


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

    def l2_of_supervoxels(self, supervoxels: UInt64Array, timestamp: datetime | None) -> L2Mapping:
        """The L2 nodes that hold supervoxels.

        Args:
          supervoxels: uint64[n], any order, zeros and duplicates allowed.
          timestamp: the moment asked about, aware; None for now.

        Returns:
          The nodes, in the order of `supervoxels`, as the graph names them: it is for the caller to see whether they
          are of the chunk where the supervoxels were found.
        """

    def supervoxels_of(self, l2_ids: UInt64Array, within_s: float | None = None) -> dict[int, UInt64Array]:
        """The supervoxels of L2 nodes, current or superseded.

        Args:
          l2_ids: uint64[n], all of layer 2.
          within_s: the graph is not asked anew after this time; None for as often and as long as it takes.

        Returns:
          For each of `l2_ids` its supervoxels, uint64[m], ascending and distinct, all of the node's own chunk; empty
          for an id that the graph does not know.

        Raises:
          GraphUnavailableError: also if the graph names supervoxels of other chunks for a node.
        """

    def l2_ids_at(self, chunks: Sequence[Triple], timestamp: datetime | None) -> list[UInt64Array]:
        """The L2 nodes that chunks have at a moment: those that hold a supervoxel then.

        Args:
          chunks: coordinates in the chunk grid.
          timestamp: the moment asked about, aware; None for now.

        Returns:
          Of each chunk the ids, uint64[n], ascending; none before the graph existed.
        """

    def l2_ids_ever(self, chunks: Sequence[Triple]) -> list[UInt64Array]:
        """The L2 nodes that chunks have or had, superseded ones among them: of each chunk uint64[n], ascending."""

    def l2_ids_of_roots(self, root_ids: UInt64Array) -> RootNodes:
        """The L2 nodes of roots, current or superseded.

        Args:
          root_ids: uint64[n], in any order, duplicates allowed; of layers above 2, so that nodes below a root are
            possible too.

        Returns:
          The nodes of each root. One that does not exist, or that the graph cannot tell the nodes of, has an error of
          its own.
        """


class GraphSource(Protocol):
    """Hands out the graphs of datasets."""

    def get(self, dataset: Dataset) -> Graph:
        """The graph of that dataset; the same instance each time.

        Raises:
          ConfigurationError: if the dataset's `cv_path` names no graph server.
        """
