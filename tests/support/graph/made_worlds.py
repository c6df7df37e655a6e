"""What a made world holds, read from its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from infra.standin.graph.table import read_dump
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import is_l2
from shared.types import UInt64Array


def l2_ids_of(world: Path) -> UInt64Array:
    """The L2 ids of a world as it was made: uint64[n], ascending."""
    _, cells = read_dump(world / "graph.ndjson.gz")
    ids = np.array(sorted({int(cell.key) for cell in cells if cell.key.isdigit()}), dtype=np.uint64)
    return ids[is_l2(ids, geometry_of(world).layout)]


def geometry_of(world: Path) -> GraphGeometry:
    """The geometry of a world's graph."""
    return GraphGeometry.from_info(json.loads((world / "info.json").read_text()))
