"""Connected components of a graph given by its edges."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.types import BoolArray, Int64Array

IdArray: TypeAlias = npt.NDArray[np.integer[Any]]


def component_labels(count: int, edges: Int64Array) -> Int64Array:
    """Component of each of `count` vertices.

    Args:
      count: vertices are numbered 0 ... count - 1.
      edges: int64[n, 2], pairs of vertices.

    Returns:
      int64[count]; components are numbered from 0 in the order of their lowest vertices.
    """
    lowest = np.arange(count, dtype=np.int64)
    one, other = edges.reshape(-1, 2).T
    while True:
        low = np.minimum(lowest[one], lowest[other])
        merged = lowest.copy()
        np.minimum.at(merged, lowest[one], low)
        np.minimum.at(merged, lowest[other], low)
        while not np.array_equal(merged, shorter := merged[merged]):
            merged = shorter
        if np.array_equal(merged, lowest):
            return np.unique(lowest, return_inverse=True)[1].astype(np.int64)
        lowest = merged


def places(values: IdArray, wanted: IdArray) -> tuple[Int64Array, BoolArray]:
    """Where each wanted value stands among distinct ones, and whether it does: int64[n] and bool[n]."""
    if not values.size:
        return np.zeros(wanted.shape, dtype=np.int64), np.zeros(wanted.shape, dtype=bool)
    order = np.argsort(values)
    found = np.minimum(np.searchsorted(values, wanted, sorter=order), values.size - 1)
    place = order[found]
    return place, values[place] == wanted
