"""Which blocks of a resumed run still have something to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from shared.geometry.grid import Box
from shared.ingest.blocks import parse_block
from shared.ingest.progress import Piece, block_progress
from shared.ingest.run import Run


def with_open_chunks(blocks: Sequence[Box], run: Run, pieces: Mapping[str, Sequence[Piece]]) -> list[Box]:
    """Those of `blocks` in which not every chunk is closed.

    Args:
      blocks: disjoint blocks of the run, each made of whole leaf blocks.
      run: the run.
      pieces: what is done of it, by the names of its leaf blocks.
    """
    starts = np.array([parse_block(name).start for name in pieces], dtype=np.int64).reshape(-1, 3)
    closed = np.array([block_progress(done, run.retry_from).closed for done in pieces.values()], dtype=np.int64)

    def is_open(block: Box) -> bool:
        inside = ((starts >= np.array(block.start)) & (starts < np.array(block.stop))).all(axis=1)
        return int(closed[inside].sum()) < block.volume

    return [block for block in blocks if is_open(block)]
