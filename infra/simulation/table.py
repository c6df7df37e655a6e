"""A simulated cache table: how many rows each chunk has, and marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infra.simulation.world import Marks
from shared.geometry.grid import Box, as_triple
from shared.geometry.ids import chunk_coordinates
from shared.store.scan import ScannedIds
from shared.types import Triple

if TYPE_CHECKING:
    from shared.geometry.ids import IdLayout
    from shared.store.scan import IdRange

SPREAD_OF_ROWS = 0.4
"""Of the number of rows in a chunk, about its mean: a plan counts some chunks and does not know the others."""


class RowCounts:
    """How many rows the chunks of a grid have.

    Args:
      grid: chunks along x, y, z.
      rows: of all chunks together, about.
      seed: of all chance.

    Attributes:
      counts: int32[x, y, z].
    """

    def __init__(self, grid: Triple, rows: int, seed: int = 1) -> None:
        shape = 1 / SPREAD_OF_ROWS**2
        chance = np.random.default_rng(seed)
        scale = rows / np.prod(grid, dtype=np.int64) / shape
        self.counts: npt.NDArray[np.int32] = np.rint(chance.gamma(shape, scale, grid)).astype(np.int32)

    @property
    def total(self) -> int:
        """Rows of all chunks."""
        return int(self.counts.sum(dtype=np.int64))

    def of(self, block: Box) -> int:
        """Rows of the chunks in a block."""
        (x0, y0, z0), (x1, y1, z1) = block.start, block.stop
        return int(self.counts[x0:x1, y0:y1, z0:z1].sum(dtype=np.int64))


class TableOfRows(Marks):
    """The part of a `CacheStore` that holds marks and tells which ids there are."""

    def __init__(self, rows: RowCounts, layout: IdLayout) -> None:
        super().__init__()
        self._rows, self._layout = rows, layout

    def scan_ids(self, table_id: str, ranges: Sequence[IdRange]) -> ScannedIds:
        """As `CacheStore.scan_ids`, for ranges of a chunk each."""
        firsts = np.array([first for first, _ in ranges], dtype=np.uint64)
        chunks = map(as_triple, chunk_coordinates(firsts, self._layout))
        counts = [int(self._rows.counts[chunk]) for chunk in chunks]
        parts = [first + np.arange(n, dtype=np.uint64) for first, n in zip(firsts, counts, strict=True)]
        ids = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
        return ScannedIds(ids, np.zeros(len(ids), dtype=np.bool_))
