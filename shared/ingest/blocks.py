"""The tree of blocks that an ingest is cut into.

A block is a box of chunk coordinates. It is halved along its longest axis until it holds few enough chunks for one
leaf task; an expand task stands for several halvings at once. All of it is a function of the block alone, so that a
task that is delivered twice makes the same children with the same names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from shared.errors import BadRequestError
from shared.geometry import Box, as_triple
from shared.types import Triple

FAN_OUT = 64
"""Children of one expand task at most: few enough for a request of seconds, many enough for a shallow tree."""

_NAME = re.compile(r"(\d+)_(\d+)_(\d+)-(\d+)_(\d+)_(\d+)")


def block_name(block: Box) -> str:
    """The block as text: `x0_y0_z0-x1_y1_z1`, the stop being exclusive."""
    return "_".join(map(str, block.start)) + "-" + "_".join(map(str, block.stop))


def parse_block(name: str) -> Box:
    """The inverse of `block_name`.

    Raises:
      BadRequestError: if it is no block's name, or the block is empty.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise BadRequestError(f"not a block of chunks: {name!r}")
    x0, y0, z0, x1, y1, z1 = map(int, match.groups())
    block = Box((x0, y0, z0), (x1, y1, z1))
    if block.volume == 0:
        raise BadRequestError(f"an empty block of chunks: {name!r}")
    return block


def children(block: Box, leaf_chunks: int, fan_out: int = FAN_OUT) -> list[Box]:
    """The blocks below `block`: at most `fan_out`, disjoint, covering it; halves of halves, none split below a leaf.

    Args:
      block: a block of more than `leaf_chunks` chunks; a smaller one is its own only child.
      leaf_chunks: most chunks in a leaf.
      fan_out: most children, a power of two.
    """
    level = [block]
    while 2 * len(level) <= fan_out and any(part.volume > leaf_chunks for part in level):
        level = [half for part in level for half in (_halves(part) if part.volume > leaf_chunks else [part])]
    return level


def chunks(block: Box) -> Iterator[Triple]:
    """The chunk coordinates in a block, z fastest."""
    x, y, z = (range(start, stop) for start, stop in zip(block.start, block.stop, strict=True))
    return product(x, y, z)


def _halves(block: Box) -> list[Box]:
    axis = max(range(3), key=lambda a: block.shape[a])
    middle = block.start[axis] + (block.shape[axis] + 1) // 2
    low_stop, high_start = list(block.stop), list(block.start)
    low_stop[axis] = high_start[axis] = middle
    return [Box(block.start, as_triple(low_stop)), Box(as_triple(high_start), block.stop)]
