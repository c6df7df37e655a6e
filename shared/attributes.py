"""The attributes of an L2 node: the one table that names them, and says how each is computed, stored and answered.

A further attribute is one more entry of `ATTRIBUTES`, with a kernel of its own if what the engine measures does not
tell it. Rows that were written before have no value of it, which is answered as if the node had none, until the
ingest's operation `fill` computes the chunks of an earlier run again.

The table is a value: engine, stores and look-up take another one as an argument.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.errors import UnknownAttributeError

if TYPE_CHECKING:
    from shared.features.result import Features
    from shared.features.stored import NodeMeasures
    from shared.geometry.grid import GraphGeometry
    from shared.types import BoolArray, UInt64Array

VOXELLESS_SIZE = bytes(8)
"""The only cell, `size_nm3`, of a node that was asked for and has no voxels: eight zero bytes, as PCGL2Cache writes."""

Answer: TypeAlias = "Callable[[npt.NDArray[Any], UInt64Array, GraphGeometry], npt.NDArray[Any]]"
"""Stored values [n, ...], the ids of their nodes uint64[n] and the graph's geometry -> the values that clients get."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TAKEN = ("node_ids", "columns", "table", "l2_id", "written_us", "state")
"""What stands beside the attributes in `Features`, in a SQLite table and in tables for clients."""


def _as_stored(values: npt.NDArray[Any], _l2_ids: UInt64Array, _geometry: GraphGeometry) -> npt.NDArray[Any]:
    """The stored values; floats as exact doubles."""
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _voxels_in_nm3(values: npt.NDArray[Any], _l2_ids: UInt64Array, geometry: GraphGeometry) -> npt.NDArray[Any]:
    """Numbers of voxels as volumes: whole numbers if that of a voxel is one, else doubles."""
    volume_nm3 = geometry.voxel_nm3
    # Beyond 2^53 only the product of integers is exact.
    factor = np.uint64(volume_nm3) if volume_nm3.is_integer() else np.float64(volume_nm3)
    return np.asarray(values * factor)


def _voxel_in_world_nm(values: npt.NDArray[Any], l2_ids: UInt64Array, geometry: GraphGeometry) -> npt.NDArray[Any]:
    """Voxels of the nodes' chunks as positions in the world."""
    positions = geometry.voxel_positions(l2_ids, values.astype(np.int64))
    return np.asarray(positions * np.array(geometry.resolution_nm))


def _nm3_in_voxels(values: npt.NDArray[Any], _l2_ids: UInt64Array, geometry: GraphGeometry) -> npt.NDArray[Any]:
    """The inverse of `_voxels_in_nm3`."""
    return np.asarray(np.rint(values / geometry.voxel_nm3))


def _world_nm_in_voxel(values: npt.NDArray[Any], l2_ids: UInt64Array, geometry: GraphGeometry) -> npt.NDArray[Any]:
    """The inverse of `_voxel_in_world_nm`."""
    starts = geometry.voxel_positions(l2_ids, np.zeros((len(l2_ids), 3), dtype=np.int64))
    return np.asarray(np.rint(values / np.array(geometry.resolution_nm)) - starts)


@dataclass(frozen=True)
class Mask:
    """Which nodes have a value of an attribute, or of several.

    Attributes:
      name: of the column of `Features` that holds it.
      compute: bool[n] out of what was measured of n nodes.
    """

    name: str
    compute: Callable[[NodeMeasures], BoolArray]


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Attributes:
      name: of the column of `Features`, of the cell (its qualifier) and in answers.
      meaning: what it tells of a node.
      dtype: as which it is stored, little-endian.
      shape: of the value of one node, stored in C order.
      unit: of the answered value; empty for what has none.
      answered: the type as which clients get its numbers.
      compute: values [n, *shape] out of what was measured of n nodes; those beyond `dtype` are stored as its largest.
        Of nodes that the mask leaves out they are zeros.
      answer: what clients get of stored values.
      restore: its inverse: stored values out of what clients get, to be rounded to `dtype`.
      mask: which nodes have a value, if some have none: their cell has 0 bytes.
      entries: what the numbers of one value are called in columns of their own, in C order; without it by their places.
    """

    name: str
    meaning: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    unit: str
    answered: np.dtype[Any]
    compute: Callable[[NodeMeasures], npt.NDArray[Any]]
    answer: Answer = _as_stored
    restore: Answer = _as_stored
    mask: Mask | None = None
    entries: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns of its numbers in a table, in C order: its name, or `name_x`, `name_0_1` and the like."""
        entries = self.entries or ("_".join(map(str, place)) for place in np.ndindex(*self.shape))
        return tuple(f"{self.name}_{entry}" for entry in entries) if self.shape else (self.name,)

    @property
    def type_name(self) -> str:
        """The stored type as `attribute_metadata` shows it, for example `<class 'numpy.uint32'>`."""
        return str(self.dtype.type)

    @property
    def n_bytes(self) -> int:
        """Bytes of one value that is there."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def needs_64_bits(self) -> bool:
        """Whether its answered numbers are integers that a client without such of 64 bits cannot hold."""
        return self.answered.kind in "iu" and self.answered.itemsize == 8

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


@dataclass(frozen=True)
class AttributeTable:
    """Attributes by their names, in alphabetical order: that of answers, and of the cells in Bigtable.

    Attributes:
      attributes: the attributes, in any order when the table is made; `SIZE` is always among them.
    """

    attributes: tuple[Attribute, ...]

    def __post_init__(self) -> None:
        """Puts the attributes in order.

        Raises:
          ValueError: if a name, or one in tables for clients, stands twice or cannot be a column's, if the numbers of a
            value are not as many as their names, or if `SIZE`, by which a row is known, is missing.
        """
        ordered = tuple(sorted(self.attributes, key=lambda attribute: attribute.name))
        object.__setattr__(self, "attributes", ordered)
        names = [*_TAKEN, *self.names, *(mask.name for mask in self.masks)]
        # a number has its column in a table for clients, beside those of all others
        names += [name for attribute in ordered if attribute.shape for name in attribute.column_names]
        wrong = [name for name in names if names.count(name) > 1 or not _NAME.fullmatch(name)]
        if wrong:
            raise ValueError(f"a table of attributes cannot have these names, or only once: {', '.join(wrong)}")
        unnamed = [a.name for a in ordered if a.entries and len(a.entries) != np.prod(a.shape, dtype=np.int64)]
        if unnamed:
            raise ValueError(f"names of the numbers of a value are not as many as these: {', '.join(unnamed)}")
        if not any(attribute is SIZE for attribute in ordered):
            raise ValueError(f"a table of attributes needs {SIZE.name}, by which a row is known")

    def __iter__(self) -> Iterator[Attribute]:
        return iter(self.attributes)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.attributes)

    def __getitem__(self, name: str) -> Attribute:
        """The attribute of that name; a KeyError if there is none."""
        return {attribute.name: attribute for attribute in self.attributes}[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes' names."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def masks(self) -> tuple[Mask, ...]:
        """The masks of the optional ones, each once."""
        return tuple(dict.fromkeys(attribute.mask for attribute in self.attributes if attribute.mask is not None))

    def extended(self, *further: Attribute) -> AttributeTable:
        """The table with further attributes beside those it has."""
        return AttributeTable((*self.attributes, *further))

    def select(self, names: Iterable[str] | None) -> tuple[Attribute, ...]:
        """The attributes of those names, in the order of the table, each once; all of them for None.

        Raises:
          UnknownAttributeError: naming the first name that is none of them.
        """
        if names is None:
            return self.attributes
        wanted, known = set(), set(self.names)
        for name in names:
            if name not in known:
                raise UnknownAttributeError(f"unknown attribute {name!r}; the attributes are {', '.join(self.names)}")
            wanted.add(name)
        return tuple(attribute for attribute in self.attributes if attribute.name in wanted)


_F2, _F4, _U2, _U4 = (np.dtype(code) for code in ("<f2", "<f4", "<u2", "<u4"))
_DOUBLE, _UINT64 = np.dtype(np.float64), np.dtype(np.uint64)
_AXES = ("x", "y", "z")
_HAS_PCA = Mask("has_pca", lambda nodes: nodes.has_axes)

SIZE = Attribute(
    "size_nm3", "volume", _U4, (), "nm3", _UINT64, lambda nodes: nodes.voxels, _voxels_in_nm3, _nm3_in_voxels
)
"""Stored as a number of voxels, whatever its name says. Every row has it."""

PCGL2CACHE_ATTRIBUTES = AttributeTable(
    (
        SIZE,
        Attribute(
            "area_nm2", "area of the faces towards other nodes and background inside the chunk",
            _U4, (), "nm2", _U4, lambda nodes: nodes.surface_nm2,
        ),
        Attribute(
            "max_dt_nm", "largest distance to the nearest voxel that is not the node's",
            _U2, (), "nm", _U2, lambda nodes: nodes.max_distance_nm,
        ),
        Attribute(
            "mean_dt_nm", "mean of these distances, each rounded down to whole nm",
            _F2, (), "nm", _DOUBLE, lambda nodes: nodes.mean_distance_nm,
        ),
        Attribute(
            "rep_coord_nm", "a voxel deep inside and near the middle, stored relative to the chunk's first voxel",
            _U2, (3,), "nm", _DOUBLE, lambda nodes: nodes.inner_voxel, _voxel_in_world_nm,
            _world_nm_in_voxel, entries=_AXES,
        ),
        Attribute(
            "chunk_intersect_count", "voxels on the chunk's [low, high] faces across [x, y, z]",
            _U2, (2, 3), "voxels", _U2, lambda nodes: nodes.voxels_on_faces,
            entries=tuple(f"{axis}_{side}" for side in ("bottom", "top") for axis in _AXES),
        ),
        Attribute(
            "pca", "principal axes as rows, of nodes of 0.01 cubic micrometres and more",
            _F2, (3, 3), "", _DOUBLE, lambda nodes: nodes.axes, mask=_HAS_PCA,
            entries=tuple(f"{row}_{axis}" for row in range(3) for axis in _AXES),
        ),
        Attribute(
            "pca_val", "singular values along the principal axes",
            _F4, (3,), "nm", _DOUBLE, lambda nodes: nodes.spread_nm, mask=_HAS_PCA,
        ),
    )
)  # fmt: skip
"""The eight attributes of PCGL2Cache, which every row has."""

ATTRIBUTES = PCGL2CACHE_ATTRIBUTES.extended()
"""All attributes: further ones are arguments here."""


def further_names(table: AttributeTable) -> tuple[str, ...]:
    """Names of a table's attributes beside the eight, in alphabetical order: what older rows may lack."""
    return tuple(name for name in table.names if name not in PCGL2CACHE_ATTRIBUTES.names)


def feature_cells(features: Features) -> Iterator[tuple[int, dict[str, bytes]]]:
    """The row of each node: pairs (L2 id, {qualifier: value}), ascending; a cell of 0 bytes where there is no value."""
    columns = [(attribute.name, _column_cells(attribute, features)) for attribute in features.table]
    for row, l2_id in enumerate(features.node_ids.tolist()):
        yield l2_id, {name: cells[row] for name, cells in columns}


def _column_cells(attribute: Attribute, features: Features) -> list[bytes]:
    values = np.ascontiguousarray(features.columns[attribute.name], dtype=attribute.dtype)
    raw, step = values.tobytes(), attribute.n_bytes
    cells = [raw[start : start + step] for start in range(0, len(raw), step)]
    if attribute.mask is not None:
        there = features.columns[attribute.mask.name].tolist()
        return [cell if has_value else b"" for cell, has_value in zip(cells, there, strict=True)]
    return cells
