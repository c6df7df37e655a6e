"""Totals of whole neurons: which L2 nodes roots have, what the cache knows of them, and what is remembered of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.config.datasets import Dataset
from shared.errors import L2CacheError, TooLargeError
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import L2_LAYER, SUPERVOXEL_LAYER, layers
from shared.graph.leaves import batches
from shared.graph.protocol import Graph, GraphSource
from shared.lookup.found import Found
from shared.lookup.node_reader import NodeReader, found_nothing
from shared.lookup.service import LookupService
from shared.lookup.totals import TOTAL, BoundsNm, NodeRows, sum_up
from shared.lookup.totals_answer import Totals, from_remembered, remembered_form
from shared.lookup.totals_query import TotalsQuery
from shared.store.totals import TotalsMemory
from shared.telemetry.log import StepTimer, event, get_logger
from shared.types import UInt64Array

_ROOTS_PER_QUESTION = 50
_NO_IDS = np.empty(0, dtype=np.uint64)
_NO_TOTALS = np.empty(0, dtype=TOTAL)
_logger = get_logger("lookup")


@dataclass(frozen=True)
class Answered:
    """What came of a request for totals.

    Attributes:
      totals: of the roots.
      found: how those of their L2 nodes stand that were looked up, without cells.
      remembered: how many of the totals were known before.
    """

    totals: Totals
    found: Found
    remembered: int


class NeuronService:
    """Answers what whole neurons add up to. May be used by many threads.

    Args:
      lookup: finds the nodes' rows; closed by whoever made it.
      graphs: the datasets' graphs.
      memory: of complete totals; None for none. Where it cannot be used, totals are summed anew.
      max_nodes: most L2 nodes that the roots of a request may have.
      attributes: with `SUMMED` among them.
    """

    def __init__(
        self,
        lookup: LookupService,
        graphs: GraphSource,
        memory: TotalsMemory | None,
        max_nodes: int,
        attributes: AttributeTable = ATTRIBUTES,
    ) -> None:
        self._lookup = lookup
        self._graphs = graphs
        self._memory = memory
        self._max_nodes = max_nodes
        self._attributes = attributes

    def totals(
        self,
        dataset: Dataset,
        query: TotalsQuery,
        steps: StepTimer,
        caller: str,
        admit: Callable[[int], None] = lambda _: None,
    ) -> Answered:
        """What roots add up to.

        What a root consists of is fixed, superseded or not, and so is its total once it is complete: that is
        remembered, unless it is one within bounds.

        Args:
          dataset: where to look.
          query: what is asked for.
          steps: gets the time of each step.
          caller: who asks; its misses count against its share.
          admit: called with how many L2 nodes are about to be looked up; may raise.

        Raises:
          TooLargeError: if the roots have too many nodes; it says how many of them fit.
          StorageUnavailableError: if the cache cannot be read.
          GraphUnavailableError: if the graph cannot be asked.
        """
        with steps.step("geometry"):
            graph = self._graphs.get(dataset)
            geometry = graph.geometry()
        roots = np.unique(query.root_ids)
        errors = _not_above_l2(roots, geometry)
        roots = roots[~np.isin(roots, np.array(list(errors), dtype=np.uint64))]
        known, records = _NO_IDS, _NO_TOTALS
        if query.bounds is None:
            with steps.step("memory"):
                known, records = self._recalled(dataset, roots)
        with steps.step("graph"):
            rest = np.setdiff1d(roots, known, assume_unique=True)
            nodes = self._nodes_of(graph, geometry, rest, query.bounds, errors)
        if not nodes:
            return Answered(Totals(known, records, errors, geometry), found_nothing(geometry), len(known))
        summed, found = self._summed(dataset, nodes, query, geometry, steps, caller, admit)
        if query.bounds is None:
            with steps.step("memory"):
                self._remember(dataset, summed)
        ids = np.concatenate([known, summed.root_ids])
        order = np.argsort(ids)
        totals = np.concatenate([records, summed.totals])[order]
        return Answered(Totals(ids[order], totals, errors, geometry), found, len(known))

    def l2_ids(
        self, dataset: Dataset, query: TotalsQuery, steps: StepTimer
    ) -> tuple[dict[int, UInt64Array], dict[int, str]]:
        """Which L2 nodes roots consist of; with bounds those whose chunks' boxes meet them.

        Args:
          dataset: where to look.
          query: what is asked for.
          steps: gets the time of each step.

        Returns:
          By root uint64[n], ascending and distinct; and of the other roots why there are none.

        Raises:
          TooLargeError: if the roots have too many nodes; it says how many of them fit.
          GraphUnavailableError: if the graph cannot be asked.
        """
        with steps.step("geometry"):
            graph = self._graphs.get(dataset)
            geometry = graph.geometry()
        roots = np.unique(query.root_ids)
        errors = _not_above_l2(roots, geometry)
        with steps.step("graph"):
            asked = roots[~np.isin(roots, np.array(list(errors), dtype=np.uint64))]
            nodes = self._nodes_of(graph, geometry, asked, query.bounds, errors)
        return nodes, errors

    def _summed(
        self,
        dataset: Dataset,
        nodes: dict[int, UInt64Array],
        query: TotalsQuery,
        geometry: GraphGeometry,
        steps: StepTimer,
        caller: str,
        admit: Callable[[int], None],
    ) -> tuple[Totals, Found]:
        """The totals of roots, by their nodes, and how these stand."""
        ids = np.unique(np.concatenate(list(nodes.values())))
        roots = np.array(list(nodes), dtype=np.uint64)
        if not ids.size:  # no node comes near the bounds
            return Totals(roots, sum_up(nodes, NodeRows.none(), query.bounds, geometry), {}, geometry), found_nothing(
                geometry
            )
        admit(len(ids))
        reader = NodeReader(self._lookup, dataset, steps, caller, self._attributes)
        rows, found = reader.read(ids, publish=query.publish_misses, wait_s=query.wait_s)
        with steps.step("sum"):
            return Totals(roots, sum_up(nodes, rows, query.bounds, geometry), {}, geometry), found

    def _nodes_of(
        self,
        graph: Graph,
        geometry: GraphGeometry,
        root_ids: UInt64Array,
        bounds: BoundsNm | None,
        errors: dict[int, str],
    ) -> dict[int, UInt64Array]:
        """The L2 nodes of roots, those that may lie in the bounds; adds the roots that have none to `errors`."""
        nodes: dict[int, UInt64Array] = {}
        total = 0
        # A part at a time: what is too much is refused before all of it is in memory.
        for part in batches(root_ids, _ROOTS_PER_QUESTION):
            found = graph.l2_ids_of_roots(part)
            errors.update(found.errors)
            for root, ids in sorted(found.l2_ids.items()):
                nodes[root] = ids if bounds is None else ids[bounds.meet_chunks(ids, geometry)]
                total += len(nodes[root])
                if total > self._max_nodes:
                    raise self._too_large(root, nodes)
        return nodes

    def _too_large(self, root: int, nodes: dict[int, UInt64Array]) -> TooLargeError:
        most = f"at most {self._max_nodes} are looked up for one request"
        fitting = len(nodes) - 1
        if fitting:
            return TooLargeError(
                f"these roots have more L2 nodes than fit, {most}: ask for {fitting} roots at a time", fitting
            )
        return TooLargeError(f"root {root} has {len(nodes[root])} L2 nodes, {most}: ask for parts of it by bounds")

    def _recalled(self, dataset: Dataset, root_ids: UInt64Array) -> tuple[UInt64Array, npt.NDArray[np.void]]:
        """The roots whose totals are remembered, ascending, and these; none if the memory cannot be read."""
        if self._memory is None or not root_ids.size:
            return _NO_IDS, _NO_TOTALS
        try:
            return from_remembered(self._memory.read(dataset.l2cache_id, root_ids))
        except L2CacheError as error:
            _tell("totals cannot be recalled", dataset, error)
            return _NO_IDS, _NO_TOTALS

    def _remember(self, dataset: Dataset, totals: Totals) -> None:
        """Keeps the complete ones, if that is possible."""
        values = remembered_form(totals)
        if self._memory is None or not values:
            return
        try:
            self._memory.write(dataset.l2cache_id, values)
        except L2CacheError as error:
            _tell("totals cannot be remembered", dataset, error)


def _tell(what: str, dataset: Dataset, error: L2CacheError) -> None:
    event(_logger, logging.WARNING, what, dataset=dataset.graph_id, reason=str(error))


def _not_above_l2(root_ids: UInt64Array, geometry: GraphGeometry) -> dict[int, str]:
    """What is wrong with ids that cannot be of a node above layer 2, by their bits."""
    known = {layer for layer, _ in geometry.layout.spatial_bits if layer > L2_LAYER}
    said = {L2_LAYER: "this is an L2 node: ask for its attributes", SUPERVOXEL_LAYER: "this is a supervoxel"}
    of = zip(root_ids.tolist(), layers(root_ids, geometry.layout).tolist(), strict=True)
    return {root: said.get(layer, "the graph has no nodes of this layer") for root, layer in of if layer not in known}
