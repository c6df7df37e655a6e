"""Made-up rows of nodes in one chunk, and what a client gets of one of them, a cell at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from shared.attributes import ATTRIBUTES, VOXELLESS_SIZE, Attribute
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout, compose_ids
from shared.store.protocol import CachedCells

LAYOUT = IdLayout(8, ((1, 10), (2, 10), (3, 2)))
GEOMETRY = GraphGeometry(
    layout=LAYOUT,
    chunk_size_voxels=(128, 128, 64),
    voxel_offset=(1100, 2030, 305),
    volume_size_voxels=(480, 496, 464),
    resolution_nm=(16.0, 16.0, 40.0),
    mip=0,
    data_dir="",
)

Row = Mapping[str, bytes]


def ids_in_chunk(segments: list[int], chunk: tuple[int, int, int] = (1, 2, 3)) -> np.ndarray[Any, np.dtype[np.uint64]]:
    numbers = np.array(segments, dtype=np.uint64)
    return compose_ids(2, np.array([chunk] * len(segments), dtype=np.int64).reshape(-1, 3), numbers, LAYOUT)


def cells_of(rows: Mapping[int, Row], attributes: Iterable[Attribute] = ATTRIBUTES) -> CachedCells:
    ids = sorted(rows)
    return CachedCells(
        np.array(ids, dtype=np.uint64), {a.name: [rows[i].get(a.name, b"") for i in ids] for a in attributes}
    )


def plainly(l2_id: int, row: Row) -> dict[str, Any]:
    """The answer for one row, a cell at a time."""
    node: dict[str, Any] = {}
    for attribute in ATTRIBUTES:
        cell = row.get(attribute.name, b"")
        if cell:
            node[attribute.name] = attribute.decode(cell).tolist()
    if "size_nm3" in node:
        node["size_nm3"] *= 16 * 16 * 40
    if "rep_coord_nm" in node:
        x, y, z = node["rep_coord_nm"]
        node["rep_coord_nm"] = [(1100 + 128 + x) * 16, (2030 + 2 * 128 + y) * 16, (305 + 3 * 64 + z) * 40]
    return node


def cell_bytes(attribute: Attribute) -> st.SearchStrategy[bytes]:
    """Values without nan and infinities, which JSON has not."""
    n = int(np.prod(attribute.shape, dtype=int))
    if attribute.dtype.kind == "f":
        entry: st.SearchStrategy[Any] = st.floats(
            width=8 * attribute.dtype.itemsize, allow_nan=False, allow_infinity=False
        )
    else:
        entry = st.integers(0, np.iinfo(attribute.dtype).max)
    return st.lists(entry, min_size=n, max_size=n).map(lambda values: np.array(values, dtype=attribute.dtype).tobytes())


ROW = st.fixed_dictionaries({}, optional={a.name: cell_bytes(a) | st.just(b"") for a in ATTRIBUTES}) | st.just(
    {"size_nm3": VOXELLESS_SIZE}
)
