"""Totals of neurons: what the rows of a root's L2 nodes add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.attributes import SIZE, Attribute, AttributeTable
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import chunk_coordinates
from shared.lookup.answer import decode_column
from shared.lookup.found import Found, IdState
from shared.types import BoolArray, Int64Array, UInt64Array

SUMMED = ("size_nm3", "area_nm2", "max_dt_nm", "rep_coord_nm")
"""The attributes that totals are made of."""

TOTAL = np.dtype(
    [
        ("n_l2", "<u4"),
        ("n_cached", "<u4"),
        ("n_empty", "<u4"),
        ("voxels", "<u8"),
        ("area_nm2", "<u8"),
        ("max_dt_nm", "<u2"),
        ("bounds_nm", "<f8", (2, 3)),
        ("rep_coord_nm", "<f8", (3,)),
        ("rep_l2_id", "<u8"),
    ]
)
"""The total of a root; without a cached node, numbers are 0 and coordinates nan."""


@dataclass(frozen=True)
class BoundsNm:
    """A half-open box in nm: points from `start` on, up to `stop` and without it, along x, y and z."""

    start: tuple[float, float, float]
    stop: tuple[float, float, float]

    def contain(self, points_nm: npt.NDArray[np.float64]) -> BoolArray:
        """Which points, [n, 3], lie inside: bool[n]."""
        return np.asarray(((points_nm >= self.start) & (points_nm < self.stop)).all(axis=1))

    def meet_chunks(self, l2_ids: UInt64Array, geometry: GraphGeometry) -> BoolArray:
        """Which L2 nodes may have a point inside, by their chunks' boxes: bool[n]."""
        size = np.array(geometry.chunk_size_voxels)
        start = np.array(geometry.voxel_offset) + chunk_coordinates(l2_ids, geometry.layout) * size
        resolution_nm = np.array(geometry.resolution_nm)
        low_nm, high_nm = start * resolution_nm, (start + size) * resolution_nm
        return np.asarray(((low_nm < self.stop) & (high_nm > self.start)).all(axis=1))


@dataclass(frozen=True, eq=False)
class NodeRows:
    """What totals need of L2 nodes.

    Attributes:
      l2_ids: uint64[n], ascending and distinct.
      is_cached: bool[n], where there is a row with all that totals are made of.
      is_empty: bool[n], where there is the row of a node without voxels.
      voxels: uint64[n], 0 where it is not cached, as in the following.
      area_nm2: uint64[n].
      max_dt_nm: uint16[n].
      rep_coord_nm: float64[n, 3].
    """

    l2_ids: UInt64Array
    is_cached: BoolArray
    is_empty: BoolArray
    voxels: UInt64Array
    area_nm2: UInt64Array
    max_dt_nm: npt.NDArray[np.uint16]
    rep_coord_nm: npt.NDArray[np.float64]

    @classmethod
    def of(cls, found: Found, attributes: AttributeTable) -> NodeRows:
        """The rows that were found of some ids, with `SUMMED` among the attributes."""
        n = len(found.l2_ids)
        places = np.searchsorted(found.l2_ids, found.cells.l2_ids)
        is_cached = found.states == IdState.CACHED
        columns = {}
        for name in SUMMED:
            attribute = attributes[name]
            there, values = decode_column(attribute, found.cells.columns[name])
            answered = values if attribute is SIZE else _answered(attribute, values, found, there)
            columns[name] = np.zeros((n, *attribute.shape), dtype=answered.dtype)
            columns[name][places[there]] = answered
            has_value = np.zeros(n, dtype=np.bool_)
            has_value[places[there]] = True
            # A row without one of the values would make a total too small, and it would not show.
            is_cached &= has_value
        return cls(
            found.l2_ids,
            is_cached,
            np.asarray(found.states == IdState.EMPTY),
            np.where(is_cached, columns["size_nm3"], 0).astype(np.uint64),
            np.where(is_cached, columns["area_nm2"], 0).astype(np.uint64),
            np.where(is_cached, columns["max_dt_nm"], 0).astype(np.uint16),
            np.where(is_cached[:, np.newaxis], columns["rep_coord_nm"], 0.0),
        )

    @classmethod
    def none(cls) -> NodeRows:
        """Rows of no nodes."""
        no_ids, no_flags = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.bool_)
        no_points = np.empty((0, 3))
        return cls(no_ids, no_flags, no_flags, no_ids, no_ids, np.empty(0, dtype=np.uint16), no_points)

    @classmethod
    def joined(cls, parts: Sequence[NodeRows]) -> NodeRows:
        """Rows of several ids that ascend from part to part."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def updated(self, later: NodeRows) -> NodeRows:
        """The rows with those of some of the ids that were read later."""
        places = np.searchsorted(self.l2_ids, later.l2_ids)
        columns = {}
        for name in self.__dataclass_fields__:
            columns[name] = getattr(self, name).copy()
            columns[name][places] = getattr(later, name)
        return NodeRows(**columns)


def sum_up(
    nodes: Mapping[int, UInt64Array], rows: NodeRows, bounds: BoundsNm | None, geometry: GraphGeometry
) -> npt.NDArray[np.void]:
    """The totals of roots.

    Numbers of voxels and areas have 32 bits, and a graph has fewer than 2^32 nodes in a root, so that sums fit into 64
    bits; running sums over all roots may overflow, and their differences, modulo 2^64, are the sums all the same.

    Args:
      nodes: by root uint64[m], ascending and distinct: its L2 nodes, each among those of `rows`.
      rows: what there is of these.
      bounds: only nodes with a representative point in it count; of those without one, empty or missing, the ones
        whose chunk's box meets it.
      geometry: of the graph.

    Returns:
      `TOTAL`[n], in the order of `nodes`.
    """
    ids = np.concatenate([np.empty(0, dtype=np.uint64), *nodes.values()])
    places = np.searchsorted(rows.l2_ids, ids)
    owners = np.repeat(np.arange(len(nodes)), [len(part) for part in nodes.values()])
    cached, empty = rows.is_cached[places], rows.is_empty[places]
    if bounds is not None:
        counts = np.where(cached, bounds.contain(rows.rep_coord_nm[places]), bounds.meet_chunks(ids, geometry))
        cached, empty, owners_of_all = cached & counts, empty & counts, owners[counts]
    else:
        owners_of_all = owners
    totals = np.zeros(len(nodes), dtype=TOTAL)
    totals["n_l2"], totals["n_cached"], totals["n_empty"] = (
        np.bincount(some, minlength=len(nodes)) for some in (owners_of_all, owners[cached], owners[empty])
    )
    _measure(totals, rows, places[cached])
    return totals


def _measure(totals: npt.NDArray[np.void], rows: NodeRows, places: Int64Array) -> None:
    """Sets what is measured, of the cached nodes at `places`: of one root after the other."""
    ends = np.cumsum(totals["n_cached"], dtype=np.int64)
    for name, column in (("voxels", rows.voxels), ("area_nm2", rows.area_nm2)):
        running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(column[places], dtype=np.uint64)])
        totals[name] = running[ends] - running[ends - totals["n_cached"]]
    totals["bounds_nm"] = totals["rep_coord_nm"] = np.nan
    there = np.flatnonzero(totals["n_cached"])
    if not there.size:
        return
    starts = (ends - totals["n_cached"])[there]
    points_nm = rows.rep_coord_nm[places]
    totals["max_dt_nm"][there] = np.maximum.reduceat(rows.max_dt_nm[places], starts)
    totals["bounds_nm"][there, 0] = np.minimum.reduceat(points_nm, starts)
    totals["bounds_nm"][there, 1] = np.maximum.reduceat(points_nm, starts)
    # Ids ascend within a root, so that of several largest nodes the first has the smallest id.
    voxels = rows.voxels[places]
    is_largest = voxels == np.repeat(np.maximum.reduceat(voxels, starts), totals["n_cached"][there])
    largest = np.flatnonzero(is_largest)
    first = largest[np.searchsorted(largest, starts)]
    totals["rep_coord_nm"][there], totals["rep_l2_id"][there] = points_nm[first], rows.l2_ids[places[first]]


def _answered(attribute: Attribute, values: npt.NDArray[Any], found: Found, there: BoolArray) -> npt.NDArray[Any]:
    return attribute.answer(values, found.cells.l2_ids[there], found.geometry)
