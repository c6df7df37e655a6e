"""What a look-up found: the rows there are, and of each id that was asked for how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shared.attributes import SIZE
from shared.geometry.grid import GraphGeometry
from shared.lookup.misses import MissCounts
from shared.store.protocol import FAILED, PENDING, UNKNOWN, CachedCells, NodeState
from shared.store.states import still_holds
from shared.types import UInt64Array


class IdState(IntEnum):
    """How an id stands; the numbers are the codes in `Found.states`."""

    CACHED = 0
    """It has a row."""
    EMPTY = 1
    """It has the row of a node without voxels. Told from the others only where the size was read."""
    PENDING = 2
    """It was asked for and is not done yet."""
    MISSING = 3
    """It could exist, has no row, and nobody works on it."""
    FAILED = 4
    """It was given up, with a reason."""
    UNKNOWN = 5
    """The graph does not know it."""
    IMPOSSIBLE = 6
    """It cannot be an L2 id of the volume."""


STATE_NAMES: tuple[str, ...] = tuple(state.name.lower() for state in IdState)
"""The states' names as clients read them, by their codes."""

_STORED = {PENDING: IdState.PENDING, FAILED: IdState.FAILED, UNKNOWN: IdState.UNKNOWN}
WITHOUT_A_ROW = (IdState.PENDING, IdState.MISSING, IdState.FAILED, IdState.UNKNOWN)
"""The states of what could exist and has no row."""

_TOLD = (IdState.FAILED, IdState.UNKNOWN)
_ZERO_VOXELS = bytes(4)


@dataclass(frozen=True, eq=False)
class Found:
    """What was found of some ids.

    Attributes:
      l2_ids: uint64[n], distinct, ascending: all that were asked for.
      states: uint8[n], the `IdState` of each of `l2_ids`.
      cells: the rows there are, those of nodes without voxels among them.
      details: of failed and unknown ids: why, and since when.
      geometry: of the graph.
      publication: what became of the ids that were to be published.
      waited_s: how long what was missing was waited for; None if the request could not, or was not to wait.
    """

    l2_ids: UInt64Array
    states: npt.NDArray[np.uint8]
    cells: CachedCells
    details: Mapping[int, NodeState]
    geometry: GraphGeometry
    publication: MissCounts = field(default_factory=MissCounts)
    waited_s: float | None = None

    def ids(self, *states: IdState) -> UInt64Array:
        """The ids in one of some states: uint64[m], ascending."""
        return self.l2_ids[np.isin(self.states, states)]

    def counts(self) -> dict[str, int]:
        """How many ids are in each of the states, by `STATE_NAMES`."""
        return dict(zip(STATE_NAMES, self.numbers, strict=True))

    @cached_property
    def numbers(self) -> list[int]:
        """How many ids are in each state, by the states' codes."""
        numbers: list[int] = np.bincount(self.states, minlength=len(STATE_NAMES)).tolist()
        return numbers


def joined(some: CachedCells, others: CachedCells) -> CachedCells:
    """The cells of two sets of ids that have none in common, with the same columns."""
    l2_ids = np.concatenate([some.l2_ids, others.l2_ids])
    order = np.argsort(l2_ids)
    places = order.tolist()
    columns = {}
    for name, cells in some.columns.items():
        both = [*cells, *others.columns[name]]
        columns[name] = [both[place] for place in places]
    return CachedCells(l2_ids[order], columns)


def judge(
    l2_ids: UInt64Array,
    geometry: GraphGeometry,
    cells: CachedCells,
    stored: Mapping[int, NodeState],
    now_s: float,
    pending_s: float,
) -> tuple[npt.NDArray[np.uint8], dict[int, NodeState]]:
    """How ids stand, by their rows and by what is stored of those without one.

    Args:
      l2_ids: uint64[n], ascending and distinct.
      geometry: of the graph; tells what cannot exist.
      cells: the rows of some of the ids.
      stored: states of others, as `CacheStore.read_states` gives them.
      now_s: Unix time.
      pending_s: how long an id counts as pending.

    Returns:
      uint8[n], codes of `IdState`; and the stored states of those that failed or are unknown.
    """
    codes = np.full(len(l2_ids), IdState.MISSING, dtype=np.uint8)
    if len(cells.l2_ids) < len(l2_ids):
        codes[~geometry.can_exist(l2_ids)] = IdState.IMPOSSIBLE
    details = {}
    for l2_id, state in stored.items():
        code = _STORED.get(state.name)
        if code is None or not still_holds(state, now_s, pending_s):
            continue
        codes[np.searchsorted(l2_ids, np.uint64(l2_id))] = code
        if code in _TOLD:
            details[l2_id] = state
    if len(cells.l2_ids):
        codes[np.searchsorted(l2_ids, cells.l2_ids)] = _codes_of_rows(cells)
    return codes, details


def _codes_of_rows(cells: CachedCells) -> npt.NDArray[np.uint8]:
    sizes = cells.columns.get(SIZE.name)
    if sizes is None:
        return np.full(len(cells.l2_ids), IdState.CACHED, dtype=np.uint8)
    are_empty = np.fromiter((cell[:4] == _ZERO_VOXELS for cell in sizes), dtype=np.bool_, count=len(sizes))
    return np.where(are_empty, np.uint8(IdState.EMPTY), np.uint8(IdState.CACHED))
