"""The eight attributes of an L2 node: their names, types, shapes, and how they are written as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared.errors import UnknownAttributeError

if TYPE_CHECKING:
    from shared.features.result import Features

VOXELLESS_SIZE = bytes(8)
"""The only cell, `size_nm3`, of a node that was asked for and has no voxels: eight zero bytes, as PCGL2Cache writes."""


@dataclass(frozen=True)
class Attribute:
    """One attribute: `name` is the column's qualifier, values are little-endian arrays of `dtype` and `shape`, C order.

    An optional attribute may be stored as 0 bytes: it has no value for that node.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    optional: bool = False

    @property
    def type_name(self) -> str:
        """The type as `attribute_metadata` shows it, for example `<class 'numpy.uint32'>`."""
        return str(self.dtype.type)

    @property
    def n_bytes(self) -> int:
        """Bytes of one value that is there."""
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))

    def decode(self, cell: bytes) -> npt.NDArray[Any]:
        """The array in a cell: of `shape`, or empty for a cell of 0 bytes.

        A longer cell is read from its start: the zero of a node without voxels takes eight bytes, of which four count.

        Raises:
          ValueError: if the cell is neither empty nor long enough.
        """
        if not cell:
            return np.empty(0, dtype=self.dtype)
        if len(cell) < self.n_bytes:
            raise ValueError(f"a cell of {self.name} has {len(cell)} bytes, {self.n_bytes} are needed")
        return np.frombuffer(cell[: self.n_bytes], dtype=self.dtype).reshape(self.shape)


SIZE = Attribute("size_nm3", np.dtype("<u4"), ())
ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("area_nm2", np.dtype("<u4"), ()),
    Attribute("chunk_intersect_count", np.dtype("<u2"), (2, 3)),
    Attribute("max_dt_nm", np.dtype("<u2"), ()),
    Attribute("mean_dt_nm", np.dtype("<f2"), ()),
    Attribute("pca", np.dtype("<f2"), (3, 3), optional=True),
    Attribute("pca_val", np.dtype("<f4"), (3,), optional=True),
    Attribute("rep_coord_nm", np.dtype("<u2"), (3,)),
    SIZE,
)
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}


def select(names: Iterable[str] | None) -> tuple[Attribute, ...]:
    """The attributes of those names, in the order of `ATTRIBUTES`, each once; all of them for None.

    Raises:
      UnknownAttributeError: naming the first name that is none of the eight.
    """
    if names is None:
        return ATTRIBUTES
    wanted = set()
    for name in names:
        if name not in BY_NAME:
            known = ", ".join(BY_NAME)
            raise UnknownAttributeError(f"unknown attribute {name!r}; the attributes are {known}")
        wanted.add(name)
    return tuple(attribute for attribute in ATTRIBUTES if attribute.name in wanted)


def feature_cells(features: Features) -> Iterator[tuple[int, dict[str, bytes]]]:
    """The row of each node: pairs (L2 id, {qualifier: value}), ascending; all eight cells, empty ones of PCA too."""
    columns = [(attribute.name, _column_cells(attribute, features)) for attribute in ATTRIBUTES]
    for row, l2_id in enumerate(features.node_ids.tolist()):
        yield l2_id, {name: cells[row] for name, cells in columns}


def _column_cells(attribute: Attribute, features: Features) -> list[bytes]:
    values = np.ascontiguousarray(getattr(features, attribute.name), dtype=attribute.dtype)
    raw, step = values.tobytes(), attribute.n_bytes
    cells = [raw[start : start + step] for start in range(0, len(raw), step)]
    if attribute.optional:
        return [cell if there else b"" for cell, there in zip(cells, features.has_pca.tolist(), strict=True)]
    return cells
