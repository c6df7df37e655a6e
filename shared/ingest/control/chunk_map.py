"""The grid of a run's chunks seen along x, y and z: how many are done, failed or open in each cell of a projection.

A run may have many millions of chunks, an answer has at most `MOST_CELLS` cells along an axis: a cell is a block of
chunks, and a projection adds up what lies behind each other. The work grows with the marks and the cells that these
cover, not with the chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.geometry.grid import Box, as_triple
from shared.ingest.blocks import chunk_at, parse_block
from shared.ingest.progress import Piece, block_progress, completed_numbers
from shared.ingest.run import Run
from shared.types import Int64Array, Triple

MOST_CELLS = 256
"""Along an axis."""

AXES = "xyz"
SEEN = {"x": ("y", "z"), "y": ("x", "z"), "z": ("x", "y")}
"""The axes to the right and down in the projection along each axis."""

_Row: TypeAlias = tuple[float, ...]
"""First and last corner of a box, the last exclusive; how many of its chunks are done and failed; its missing rows."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A run's chunks seen along an axis. All arrays have a row per cell down and a column per cell to the right.

    Attributes:
      done: int64[rows, columns], chunks that are completed.
      failed: int64[rows, columns], chunks that failed for good.
      open: int64[rows, columns], chunks that are still to be done.
      missing: float64[rows, columns], rows that an audit has missed and not computed; those of a leaf task's block are
        taken as spread evenly over it.
    """

    done: Int64Array
    failed: Int64Array
    open: Int64Array
    missing: NDArray[np.float64]


@dataclass(frozen=True)
class ChunkMap:
    """A run's chunks seen along all three axes.

    Attributes:
      run: the run.
      cell_chunks: chunks in a cell along x, y, z; the last cell along an axis may have fewer.
      cells: cells along x, y, z.
      along: the projections by the axis along which one looks.
    """

    run: Run
    cell_chunks: Triple
    cells: Triple
    along: Mapping[str, Projection]


def map_chunks(run: Run, pieces: Mapping[str, Sequence[Piece]], most_cells: int) -> ChunkMap:
    """What is done of a run, by cells.

    Args:
      run: the run.
      pieces: what is done of it, by the names of its leaf blocks.
      most_cells: cells along an axis, at most.
    """
    shape = run.block.shape
    cell_chunks = as_triple(ceil(size / most_cells) for size in shape)
    cells = as_triple(ceil(size / cell) for size, cell in zip(shape, cell_chunks, strict=True))
    boxes = _Boxes.of(_rows(run, pieces), run.block)
    return ChunkMap(
        run, cell_chunks, cells, {axis: _projection(axis, boxes, shape, cell_chunks, cells) for axis in AXES}
    )


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes of chunks that have something in common.

    Attributes:
      start: int64[n, 3], relative to the run's first chunk.
      stop: int64[n, 3], exclusive.
      shares: float64[n, 3], of the chunks of each box how many are done and failed, and missing rows of each chunk.
    """

    start: Int64Array
    stop: Int64Array
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Iterable[_Row], within: Box) -> _Boxes:
        table = np.array(list(rows), dtype=np.float64).reshape(-1, 9)
        low, high = (table[:, first : first + 3].astype(np.int64) for first in (0, 3))
        volumes = (high - low).prod(axis=1, dtype=np.float64)
        return cls(low - within.start, high - within.start, table[:, 6:] / volumes[:, None])


def _rows(run: Run, pieces: Mapping[str, Sequence[Piece]]) -> Iterator[_Row]:
    for name, of_block in pieces.items():
        block = parse_block(name)
        progress = block_progress(of_block, run.retry_from)
        missing = max(0.0, progress.counts.get("missing", 0.0) - progress.counts.get("repaired", 0.0))
        if progress.completed == block.volume:
            yield *block.start, *block.stop, block.volume, 0.0, missing
            continue
        yield *block.start, *block.stop, 0.0, 0.0, missing
        for numbers, counts in ((completed_numbers(of_block), (1.0, 0.0, 0.0)), (progress.failed, (0.0, 1.0, 0.0))):
            for x, y, z in (chunk_at(block, number) for number in numbers):
                yield x, y, z, x + 1, y + 1, z + 1, *counts


def _projection(axis: str, boxes: _Boxes, shape: Triple, cell_chunks: Triple, cells: Triple) -> Projection:
    right, down = (AXES.index(one) for one in SEEN[axis])
    depth = AXES.index(axis)
    box, column, width = _overlaps(boxes.start[:, right], boxes.stop[:, right], cell_chunks[right])
    # Of each overlap to the right, those down.
    pair, row, height = _overlaps(boxes.start[box, down], boxes.stop[box, down], cell_chunks[down])
    box, column, width = box[pair], column[pair], width[pair]
    chunks = width * height * (boxes.stop[box, depth] - boxes.start[box, depth])
    place, size = row * cells[right] + column, cells[right] * cells[down]
    sums = [np.bincount(place, chunks * boxes.shares[box, number], size) for number in range(3)]
    done, failed, missing = (one.reshape(cells[down], cells[right]) for one in sums)
    whole = np.outer(*(_sizes(shape[one], cell_chunks[one], cells[one]) for one in (down, right))) * shape[depth]
    n_done, n_failed = np.rint(done).astype(np.int64), np.rint(failed).astype(np.int64)
    return Projection(n_done, n_failed, whole - n_done - n_failed, missing.astype(np.float64))


def _overlaps(start: Int64Array, stop: Int64Array, cell: int) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Intervals cut at the borders of cells: of each part its interval's number, its cell, and how long it is."""
    first = start // cell
    n_cells = (stop - 1) // cell - first + 1
    interval = np.repeat(np.arange(len(start)), n_cells)
    before = np.cumsum(n_cells) - n_cells
    cells = first[interval] + np.arange(len(interval)) - before[interval]
    low, high = np.maximum(start[interval], cells * cell), np.minimum(stop[interval], (cells + 1) * cell)
    return interval, cells, high - low


def _sizes(extent: int, cell: int, n_cells: int) -> Int64Array:
    """Chunks in each cell along an axis."""
    sizes = np.full(n_cells, cell, dtype=np.int64)
    sizes[-1] = extent - cell * (n_cells - 1)
    return sizes
