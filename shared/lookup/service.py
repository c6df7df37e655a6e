"""The look-up service: read the cache, answer, publish what is missing. It does not depend on HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shared.config.datasets import Dataset
from shared.errors import L2CacheError, TableNotFoundError
from shared.graph.protocol import GraphSource
from shared.lookup.answer import encode_answer
from shared.lookup.misses import MissCounts, MissPublisher
from shared.lookup.query import Query
from shared.store.protocol import CachedCells, CacheStore
from shared.store.states import remembered_unknown
from shared.telemetry.log import StepTimer, event, get_logger
from shared.types import UInt64Array

_logger = get_logger("lookup")
_NO_IDS = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class Lookup:
    """What came of a look-up.

    Attributes:
      json: the answer.
      ids: number of distinct ids asked for.
      impossible: those of them that are no L2 ids of the volume.
      hits: those that have a row.
      misses: those that could exist and have none.
      unknown: those of the misses that the graph did not know a while ago; they are not published.
      published: misses that were published now; the rest of them was published a short while ago or was not to be.
      unpublished: misses that were not published because the bus failed, was too slow, or has failed lately.
      withheld: misses that were not published because they are beyond the caller's share.
    """

    json: bytes
    ids: int
    impossible: int
    hits: int
    misses: int
    unknown: int
    published: int
    unpublished: int
    withheld: int


class LookupService:
    """Answers look-ups. May be used by many threads.

    Args:
      store: the cache tables.
      graphs: the datasets' graphs, of which only the geometry is asked for.
      misses: where missing ids are sent.
      clock: Unix time.
    """

    def __init__(
        self,
        store: CacheStore,
        graphs: GraphSource,
        misses: MissPublisher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._graphs = graphs
        self._misses = misses
        self._clock = clock

    def look_up(self, dataset: Dataset, query: Query, steps: StepTimer, caller: str) -> Lookup:
        """The attributes of the query's ids, as JSON: one key per distinct id, ascending.

        Ids that cannot exist are answered `{}` without asking the store, and are never published. A table that does not
        exist yet counts as empty.

        Args:
          dataset: where to look.
          query: what is asked for.
          steps: gets the time of each step.
          caller: who asks; its misses count against its share.

        Raises:
          StorageUnavailableError: if the cache cannot be read.
          GraphUnavailableError: if the graph's geometry is not known yet and cannot be asked for.
        """
        with steps.step("geometry"):
            geometry = self._graphs.get(dataset).geometry()
            ids = np.unique(query.l2_ids)
            possible = ids[geometry.can_exist(ids)]
        with steps.step("read"):
            cells = self._read(dataset, possible, query)
        missing = np.setdiff1d(possible, cells.l2_ids, assume_unique=True)
        publication, unknown = None, _NO_IDS
        if query.publish_misses:
            # The bus works while the answer is written.
            with steps.step("publish"):
                unknown = self._unknown(dataset, self._misses.due(dataset, missing))
                wanted = np.setdiff1d(missing, unknown, assume_unique=True)
                publication = self._misses.start(dataset, wanted, caller)
        with steps.step("encode"):
            json = encode_answer(ids, cells, query.attributes, geometry, int64_as_str=query.int64_as_str)
        with steps.step("publish"):
            counts = publication.wait() if publication is not None else MissCounts()
        return Lookup(
            json=json,
            ids=len(ids),
            impossible=len(ids) - len(possible),
            hits=len(cells.l2_ids),
            misses=len(missing),
            unknown=len(unknown),
            published=counts.published,
            unpublished=counts.unpublished,
            withheld=counts.withheld,
        )

    def close(self) -> None:
        """Closes the store and the bus."""
        self._misses.close()
        self._store.close()

    def _unknown(self, dataset: Dataset, l2_ids: UInt64Array) -> UInt64Array:
        """Those of some ids that the graph did not know a while ago; none if the states of ids cannot be read."""
        if not l2_ids.size:
            return _NO_IDS
        try:
            states = self._store.read_states(dataset.l2cache_id, l2_ids)
        except L2CacheError as error:
            fields = {"dataset": dataset.graph_id, "reason": str(error)}
            event(_logger, logging.WARNING, "states of ids cannot be read", **fields)
            return _NO_IDS
        return remembered_unknown(states, self._clock())

    def _read(self, dataset: Dataset, l2_ids: UInt64Array, query: Query) -> CachedCells:
        names = [attribute.name for attribute in query.attributes]
        if l2_ids.size:
            try:
                return self._store.read_cells(dataset.l2cache_id, l2_ids, names)
            except TableNotFoundError:
                event(_logger, logging.WARNING, "the cache table does not exist yet", dataset=dataset.graph_id)
        return CachedCells(np.empty(0, dtype=np.uint64), {name: [] for name in names})
