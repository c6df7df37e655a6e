"""`Features`: the attributes of the L2 nodes of a chunk, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.types import UInt64Array


@dataclass(frozen=True, eq=False)
class Features:
    """Attributes of n nodes, one row each, in ascending order of `node_ids`.

    Each column is an attribute of the value, too: `features.size_nm3`.

    Attributes:
      node_ids: uint64[n], strictly ascending.
      columns: of each attribute of the table, by its name, the stored values [n, *shape], zeros where a mask says that
        there is none; of each mask of the table, by its name, bool[n].
      table: the attributes.

    Two nodes side by side in a chunk of 40 x 20 x 10 voxels of 16 x 16 x 40 nm:

    >>> from shared.features.api import chunk_features
    >>> labels = np.zeros((40, 20, 10), np.uint64)
    >>> labels[:30], labels[30:] = 11, 12
    >>> features = chunk_features(labels, (16, 16, 40))
    >>> features.node_ids, features.size_nm3
    (array([11, 12], dtype=uint64), array([6000, 2000], dtype=uint32))

    They touch each other in 20 x 10 faces of 16 x 40 nm; the chunk's outside is no surface. The furthest voxel of the
    first one is 30 voxels away from the second:

    >>> features.area_nm2.tolist(), features.max_dt_nm.tolist()
    ([128000, 128000], [480, 160])

    The first one meets the chunk's low x face in 200 voxels, and its high x face nowhere:

    >>> features.chunk_intersect_count[0].tolist()
    [[200, 300, 600], [0, 300, 600]]

    Principal axes are there from 0.01 um3 on:

    >>> features.has_pca.tolist(), features.select(np.array([12], np.uint64)).node_ids
    ([True, True], array([12], dtype=uint64))
    """

    node_ids: UInt64Array
    columns: Mapping[str, npt.NDArray[Any]]
    table: AttributeTable = ATTRIBUTES

    def __post_init__(self) -> None:
        """Check dtypes and shapes of the columns.

        Raises:
          ValueError: if a column is missing, is none of the table's, or has another dtype or shape than the table says,
            or the ids are none or do not ascend strictly.
        """
        types = _types(self.table)
        if self.columns.keys() != types.keys():
            raise ValueError(f"the columns must be {', '.join(types)}, not {', '.join(self.columns)}")
        expected = {"node_ids": (np.dtype(np.uint64), ()), **types}
        for name, (dtype, row_shape) in expected.items():
            column = self.node_ids if name == "node_ids" else self.columns[name]
            if column.dtype != dtype or column.shape != (len(self.node_ids), *row_shape):
                raise ValueError(
                    f"{name} must be {dtype}[{len(self.node_ids)}, *{row_shape}], not {column.dtype}{column.shape}"
                )
        if not np.all(self.node_ids[1:] > self.node_ids[:-1]):
            raise ValueError("node_ids must ascend strictly")

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.node_ids)

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        """The column of that name; an AttributeError if there is none."""
        # while a copy is made there are no columns yet
        if name == "columns" or name not in self.columns:
            raise AttributeError(f"there is no column {name!r}")
        return self.columns[name]

    @classmethod
    def empty(cls, table: AttributeTable = ATTRIBUTES) -> Features:
        """Features of no node."""
        columns = {name: np.zeros((0, *row_shape), dtype) for name, (dtype, row_shape) in _types(table).items()}
        return cls(np.zeros(0, np.uint64), columns, table)

    @classmethod
    def concatenate(cls, parts: Sequence[Features]) -> Features:
        """Rows of all parts, sorted by node id.

        Args:
          parts: features of disjoint sets of nodes; those with rows have the same attributes.

        Raises:
          ValueError: if a node is in more than one part, or parts have other attributes.
        """
        filled = [part for part in parts if len(part)]
        if not filled:
            return parts[0] if parts else cls.empty()
        table = filled[0].table
        if any(part.table != table for part in filled):
            raise ValueError("parts must have the same attributes")
        node_ids = np.concatenate([part.node_ids for part in filled])
        order = np.argsort(node_ids, kind="stable")
        columns = {name: np.concatenate([part.columns[name] for part in filled])[order] for name in _types(table)}
        return cls(node_ids[order], columns, table)

    def take(self, rows: npt.NDArray[Any]) -> Features:
        """The chosen rows.

        Args:
          rows: bool[n] mask, or ascending row numbers.
        """
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Features(self.node_ids[rows], columns, self.table)

    def select(self, node_ids: UInt64Array) -> Features:
        """Rows of those of `node_ids` that are here; the others are left out."""
        return self.take(np.isin(self.node_ids, node_ids))


@cache
def _types(table: AttributeTable) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Type and shape of a row's value by the column's name."""
    return {
        **{attribute.name: (attribute.dtype, attribute.shape) for attribute in table},
        **{mask.name: (np.dtype(np.bool_), ()) for mask in table.masks},
    }
