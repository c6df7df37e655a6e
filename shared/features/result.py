"""`Features`: the eight attributes of the L2 nodes of a chunk, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

# name -> (dtype, shape of one row)
_COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "node_ids": ("uint64", ()),
    "size_nm3": ("uint32", ()),
    "area_nm2": ("uint32", ()),
    "max_dt_nm": ("uint16", ()),
    "mean_dt_nm": ("float16", ()),
    "rep_coord_nm": ("uint16", (3,)),
    "chunk_intersect_count": ("uint16", (2, 3)),
    "pca": ("float16", (3, 3)),
    "pca_val": ("float32", (3,)),
    "has_pca": ("bool", ()),
}


@dataclass(frozen=True, eq=False)
class Features:
    """Attributes of n nodes, one row each, in ascending order of `node_ids`.

    Attributes:
      node_ids: uint64[n], strictly ascending.
      size_nm3: uint32[n], number of voxels (the name is historical).
      area_nm2: uint32[n], surface inside the chunk in nm2.
      max_dt_nm: uint16[n], largest distance to the surface in nm.
      mean_dt_nm: float16[n], mean distance to the surface in nm.
      rep_coord_nm: uint16[n, 3], representative voxel, relative to the chunk's first voxel.
      chunk_intersect_count: uint16[n, 2, 3], voxels on the chunk's [low, high] faces across [x, y, z].
      pca: float16[n, 3, 3], principal axes as rows; zeros where `has_pca` is False.
      pca_val: float32[n, 3], singular values; zeros where `has_pca` is False.
      has_pca: bool[n], whether the node has `pca` and `pca_val` at all.
    """

    node_ids: npt.NDArray[np.uint64]
    size_nm3: npt.NDArray[np.uint32]
    area_nm2: npt.NDArray[np.uint32]
    max_dt_nm: npt.NDArray[np.uint16]
    mean_dt_nm: npt.NDArray[np.float16]
    rep_coord_nm: npt.NDArray[np.uint16]
    chunk_intersect_count: npt.NDArray[np.uint16]
    pca: npt.NDArray[np.float16]
    pca_val: npt.NDArray[np.float32]
    has_pca: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check dtypes and shapes of the columns.

        Raises:
          ValueError: if a column has another dtype or shape than documented, or the ids do not ascend strictly.
        """
        for name, (dtype, row_shape) in _COLUMNS.items():
            column = getattr(self, name)
            if column.dtype != dtype or column.shape != (len(self.node_ids), *row_shape):
                raise ValueError(
                    f"{name} must be {dtype}[{len(self.node_ids)}, *{row_shape}], not {column.dtype}{column.shape}"
                )
        if not np.all(self.node_ids[1:] > self.node_ids[:-1]):
            raise ValueError("node_ids must ascend strictly")

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.node_ids)

    @classmethod
    def empty(cls) -> Features:
        """Features of no node."""
        return cls(**{name: np.zeros((0, *row_shape), dtype) for name, (dtype, row_shape) in _COLUMNS.items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Features]) -> Features:
        """Rows of all parts, sorted by node id.

        Args:
          parts: features of disjoint sets of nodes.

        Raises:
          ValueError: if a node is in more than one part.
        """
        if not parts:
            return cls.empty()
        order = np.argsort(np.concatenate([part.node_ids for part in parts]), kind="stable")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in _COLUMNS})

    def take(self, rows: npt.NDArray[Any]) -> Features:
        """The chosen rows.

        Args:
          rows: bool[n] mask, or ascending row numbers.
        """
        return Features(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def select(self, node_ids: npt.NDArray[np.uint64]) -> Features:
        """Rows of those of `node_ids` that are here; the others are left out."""
        return self.take(np.isin(self.node_ids, node_ids))
