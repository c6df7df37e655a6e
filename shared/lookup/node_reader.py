"""Reading what totals need of many L2 nodes, in parts so that memory is bounded; with missing ones waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from shared.attributes import AttributeTable
from shared.config.datasets import Dataset
from shared.geometry.grid import GraphGeometry
from shared.graph.leaves import batches
from shared.lookup.found import WITHOUT_A_ROW, Found
from shared.lookup.misses import MissCounts
from shared.lookup.service import LookupService
from shared.lookup.totals import SUMMED, NodeRows
from shared.store.protocol import CachedCells
from shared.telemetry.log import StepTimer
from shared.types import UInt64Array

_NODES_PER_READ = 25_000
_NO_CELLS = CachedCells(np.empty(0, dtype=np.uint64), {})


class NodeReader:
    """Reads nodes of a dataset for one request.

    Args:
      lookup: finds their rows.
      dataset: where.
      steps: gets the time of each step.
      caller: who asks; misses count against its share.
      attributes: with `SUMMED` among them.
      nodes_per_read: how many cells are in memory at a time.
    """

    def __init__(
        self,
        lookup: LookupService,
        dataset: Dataset,
        steps: StepTimer,
        caller: str,
        attributes: AttributeTable,
        nodes_per_read: int = _NODES_PER_READ,
    ) -> None:
        self._lookup = lookup
        self._dataset = dataset
        self._steps = steps
        self._caller = caller
        self._attributes = attributes
        self._nodes_per_read = nodes_per_read

    def read(self, l2_ids: UInt64Array, *, publish: bool, wait_s: float) -> tuple[NodeRows, Found]:
        """What is known of nodes.

        Args:
          l2_ids: uint64[n], ascending and distinct; at least one.
          publish: whether those without a row are to be computed.
          wait_s: how long these are waited for.

        Returns:
          The numbers in their rows, and how each of them stands, without cells.

        Raises:
          See `LookupService.find`.
        """
        # What is waited for is published with that wish, all of it at once.
        rows, found = self._in_parts(l2_ids, publish=publish and not wait_s)
        missing = found.ids(*WITHOUT_A_ROW)
        if wait_s and missing.size:
            later_rows, later = self._once(missing, publish=publish, wait_s=wait_s)
            states = found.states.copy()
            states[np.searchsorted(found.l2_ids, later.l2_ids)] = later.states
            return rows.updated(later_rows), replace(later, l2_ids=found.l2_ids, states=states)
        return rows, found

    def _in_parts(self, l2_ids: UInt64Array, *, publish: bool) -> tuple[NodeRows, Found]:
        parts = [self._once(part, publish=publish) for part in batches(l2_ids, self._nodes_per_read)]
        return NodeRows.joined([rows for rows, _ in parts]), _joined([found for _, found in parts])

    def _once(self, l2_ids: UInt64Array, *, publish: bool, wait_s: float = 0.0) -> tuple[NodeRows, Found]:
        wanted = self._attributes.select(SUMMED)
        find = self._lookup.find
        found = find(self._dataset, l2_ids, wanted, self._steps, self._caller, publish=publish, wait_s=wait_s)
        # Only the numbers are kept: the cells take ten times as much memory.
        return NodeRows.of(found, self._attributes), replace(found, cells=_NO_CELLS)


def found_nothing(geometry: GraphGeometry) -> Found:
    """What is found where no node is looked up."""
    return Found(_NO_CELLS.l2_ids, np.empty(0, dtype=np.uint8), _NO_CELLS, {}, geometry)


def _joined(parts: Sequence[Found]) -> Found:
    """What was found of ids that ascend from part to part, without cells."""
    names = [each.name for each in fields(MissCounts)]
    counts = {name: sum(getattr(part.publication, name) for part in parts) for name in names}
    return replace(
        parts[0],
        l2_ids=np.concatenate([part.l2_ids for part in parts]),
        states=np.concatenate([part.states for part in parts]),
        details={l2_id: state for part in parts for l2_id, state in part.details.items()},
        publication=MissCounts(**counts),
    )
