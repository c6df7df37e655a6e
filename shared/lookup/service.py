"""The look-up service: read the cache, answer, publish what is missing. It does not depend on HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from shared.attributes import Attribute
from shared.config.datasets import Dataset
from shared.errors import L2CacheError, TableNotFoundError
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import distinct_ids
from shared.graph.protocol import GraphSource
from shared.lookup.answer import encode_answer
from shared.lookup.found import Found, IdState, joined, judge
from shared.lookup.misses import MissCounts, MissPublisher, Publication
from shared.lookup.query import Query
from shared.lookup.waiting import Wait, Waiting
from shared.store.protocol import CachedCells, CacheStore, NodeState
from shared.store.states import may_be_asked_for
from shared.telemetry.log import StepTimer, event, get_logger
from shared.types import UInt64Array

_WAITING_REQUESTS = 64
_NO_IDS = np.empty(0, dtype=np.uint64)
_logger = get_logger("lookup")


@dataclass(frozen=True)
class Lookup:
    """What came of a look-up.

    Attributes:
      json: the answer.
      found: what it tells of.
    """

    json: bytes
    found: Found


@dataclass(frozen=True, eq=False)
class _Search:
    """A look-up under way: what was read, and the misses that are on their way to the bus.

    Attributes:
      l2_ids: uint64[n], ascending and distinct: all that were asked for.
      geometry: of the graph.
      cells: their rows.
      stored: states of those without one.
      publication: their misses, if any are to be published.
    """

    l2_ids: UInt64Array
    geometry: GraphGeometry
    cells: CachedCells
    stored: Mapping[int, NodeState]
    publication: Publication | None

    def found(self, now_s: float, pending_s: float) -> Found:
        """What was found, once the misses have reached the bus."""
        counts = self.publication.wait() if self.publication is not None else MissCounts()
        published = self.publication.taken_ids if self.publication is not None else _NO_IDS
        return self._found(self.cells, self.stored, published, counts, now_s, pending_s)

    def waited(self, found: Found, wait: Wait, cells: CachedCells, now_s: float, pending_s: float) -> Found:
        """What was found after waiting.

        Args:
          found: before that.
          wait: what has come of waiting.
          cells: the rows of `wait.row_ids`.
          now_s: Unix time.
          pending_s: how long an id counts as pending.
        """
        published = self.publication.taken_ids if self.publication is not None else _NO_IDS
        still_open = np.intersect1d(published, wait.open_ids, assume_unique=True)
        stored = {**self.stored, **wait.stored}
        return self._found(joined(self.cells, cells), stored, still_open, found.publication, now_s, pending_s)

    def _found(
        self,
        cells: CachedCells,
        stored: Mapping[int, NodeState],
        published: UInt64Array,
        counts: MissCounts,
        now_s: float,
        pending_s: float,
    ) -> Found:
        """What was found, where published ids are pending whatever is stored of them."""
        earlier = set(published.tolist())
        of_others = {l2_id: state for l2_id, state in stored.items() if l2_id not in earlier}
        states, details = judge(self.l2_ids, self.geometry, cells, of_others, now_s, pending_s)
        states[np.searchsorted(self.l2_ids, published)] = IdState.PENDING
        return Found(self.l2_ids, states, cells, details, self.geometry, counts)


class LookupService:
    """Answers look-ups. May be used by many threads.

    Args:
      store: the cache tables.
      graphs: the datasets' graphs, of which look-ups ask for nothing but the geometry.
      misses: where missing ids are sent.
      clock: Unix time.
      pending_s: how long an id counts as pending after it was published, or begun.
      waiting: the requests that wait; up to 64 may by default.
    """

    def __init__(
        self,
        store: CacheStore,
        graphs: GraphSource,
        misses: MissPublisher,
        clock: Callable[[], float] = time.time,
        pending_s: float = 1800.0,
        waiting: Waiting | None = None,
    ) -> None:
        self._store = store
        self.graphs = graphs
        self._misses = misses
        self._clock = clock
        self._pending_s = pending_s
        self._waiting = waiting or Waiting(store, _WAITING_REQUESTS)

    def look_up(self, dataset: Dataset, query: Query, steps: StepTimer, caller: str) -> Lookup:
        """The attributes of the query's ids, as JSON: one key per distinct id, ascending.

        As `find`, with what the query says.
        """
        if query.wait_s:
            found = self.find(
                dataset,
                query.l2_ids,
                query.attributes,
                steps,
                caller,
                publish=query.publish_misses,
                wait_s=query.wait_s,
            )
            with steps.step("encode"):
                return Lookup(_encoded(found.l2_ids, found.cells, query, found.geometry), found)
        search = self._search(dataset, query.l2_ids, query.attributes, steps, caller, publish=query.publish_misses)
        # The bus works while the answer is written.
        with steps.step("encode"):
            json = _encoded(search.l2_ids, search.cells, query, search.geometry)
        with steps.step("publish"):
            return Lookup(json, search.found(self._clock(), self._pending_s))

    def find(
        self,
        dataset: Dataset,
        l2_ids: UInt64Array,
        attributes: Sequence[Attribute],
        steps: StepTimer,
        caller: str,
        *,
        publish: bool,
        wait_s: float = 0.0,
        strict: bool = False,
    ) -> Found:
        """The rows of some ids, and how each of the ids stands; what is missing is published.

        Ids that cannot exist have no row without the store being asked, and are never published. A table that does not
        exist yet counts as empty.

        Args:
          dataset: where to look.
          l2_ids: uint64[n], in any order, duplicates allowed.
          attributes: what to read of each; nodes without voxels are told from others only with `SIZE` among them.
          steps: gets the time of each step.
          caller: who asks; its misses count against its share.
          publish: whether ids without a row are to be computed.
          wait_s: how long to wait, in all, for ids that are being computed: until each has its row, failed or is
            unknown. Nothing is waited for while too many requests wait already.
          strict: whether states must be known: else, where they cannot be read, ids without a row count as missing.

        Raises:
          StorageUnavailableError: if the cache, or with `strict` the states, cannot be read.
          GraphUnavailableError: if the graph's geometry is not known yet and cannot be asked for.
        """
        end_s = time.monotonic() + wait_s
        with self._waiting.place() if wait_s > 0 else nullcontext(enter_result=False) as may_wait:
            search = self._search(
                dataset, l2_ids, attributes, steps, caller, publish=publish, strict=strict, is_waited=may_wait
            )
            with steps.step("publish"):
                found = search.found(self._clock(), self._pending_s)
            if not may_wait:
                return found
            return self._waited(dataset, attributes, search, found, end_s, steps)

    def close(self) -> None:
        """Ends waiting, and closes the bus and the store."""
        self._waiting.close()
        self._misses.close()
        self._store.close()

    def _search(
        self,
        dataset: Dataset,
        l2_ids: UInt64Array,
        attributes: Sequence[Attribute],
        steps: StepTimer,
        caller: str,
        *,
        publish: bool,
        strict: bool = False,
        is_waited: bool = False,
    ) -> _Search:
        with steps.step("geometry"):
            geometry = self.graphs.get(dataset).geometry()
            ids = distinct_ids(l2_ids)
            possible = ids[geometry.can_exist(ids)]
        with steps.step("read"):
            cells = self._read(dataset, possible, attributes)
        # rows are of ids that were asked for: as many rows as ids means that none is missing
        are_all = len(cells.l2_ids) == len(possible)
        missing = _NO_IDS if are_all else np.setdiff1d(possible, cells.l2_ids, assume_unique=True)
        with steps.step("states"):
            stored = self._states(dataset, missing, strict=strict)
        publication = None
        if publish and missing.size:
            with steps.step("publish"):
                publication = self._misses.start(dataset, self._due(missing, stored), caller, is_waited=is_waited)
        return _Search(ids, geometry, cells, stored, publication)

    def _waited(
        self,
        dataset: Dataset,
        attributes: Sequence[Attribute],
        search: _Search,
        found: Found,
        end_s: float,
        steps: StepTimer,
    ) -> Found:
        """What was found after waiting, at most until `end_s`, for what is being computed."""
        start_s = time.monotonic()
        under_way = found.ids(IdState.PENDING)
        if search.publication is not None:
            # Another request of this instance is publishing them: what is stored may not say so yet.
            under_way = np.union1d(under_way, search.publication.recent_ids)
        if under_way.size:
            wait = Wait(under_way, search.stored)
            with steps.step("wait"):
                self._waiting.wait(dataset.l2cache_id, wait, max(0.0, end_s - time.monotonic()))
            with steps.step("read"):
                cells = self._read(dataset, wait.row_ids, attributes)
            found = search.waited(found, wait, cells, self._clock(), self._pending_s)
        return replace(found, waited_s=time.monotonic() - start_s)

    def _due(self, missing: UInt64Array, stored: Mapping[int, NodeState]) -> UInt64Array:
        """Those of some ids without a row that are to be asked for, by what is known of them."""
        now_s = self._clock()
        quiet = [l2_id for l2_id, state in stored.items() if not may_be_asked_for(state, now_s, self._misses.pause_s)]
        return np.setdiff1d(missing, np.array(quiet, dtype=np.uint64), assume_unique=True)

    def _states(self, dataset: Dataset, l2_ids: UInt64Array, *, strict: bool) -> Mapping[int, NodeState]:
        """What is stored of some ids without a row; nothing if it cannot be read."""
        if not l2_ids.size:
            return {}
        try:
            return self._store.read_states(dataset.l2cache_id, l2_ids)
        except L2CacheError as error:
            if strict:
                raise
            fields = {"dataset": dataset.graph_id, "reason": str(error)}
            event(_logger, logging.WARNING, "states of ids cannot be read", **fields)
            return {}

    def _read(self, dataset: Dataset, l2_ids: UInt64Array, attributes: Sequence[Attribute]) -> CachedCells:
        names = [attribute.name for attribute in attributes]
        if l2_ids.size:
            try:
                return self._store.read_cells(dataset.l2cache_id, l2_ids, names)
            except TableNotFoundError:
                event(_logger, logging.WARNING, "the cache table does not exist yet", dataset=dataset.graph_id)
        return CachedCells(np.empty(0, dtype=np.uint64), {name: [] for name in names})


def _encoded(l2_ids: UInt64Array, cells: CachedCells, query: Query, geometry: GraphGeometry) -> bytes:
    return encode_answer(l2_ids, cells, query.attributes, geometry, int64_as_str=query.int64_as_str)
