"""The tree of blocks that an ingest is cut into.

A block is a box of chunk coordinates. It is halved along its longest axis until it holds few enough chunks for one
leaf task; an expand task stands for several halvings at once. Where the volume's files hold several chunks, cuts go
between files if one lies near the middle, so that the chunks of a file are read by one leaf. All of it is a function
of the block and of the run's constants, so that a task that is delivered twice makes the same children with the same
names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np

from shared.errors import BadRequestError
from shared.geometry.grid import Box, as_triple
from shared.types import Int64Array, Triple

FAN_OUT = 256
"""Children of one expand task, about: few enough for a request of seconds, so many that expand tasks are below 1 % of
all. The lowest expand tasks are the full ones, since there are most of them; the root takes what is left."""

ONE_CHUNK: Triple = (1, 1, 1)

LEAF_AT_LEAST_S = 2.0
"""What a leaf should take, if there can be `SHORT_LEAVES_AT_LEAST` of them then."""
SHORT_LEAVES_AT_LEAST = 32

PIPELINE_CHUNKS = 8
"""What a leaf should hold, if there can be `PIPELINED_LEAVES_AT_LEAST` of them then."""
PIPELINED_LEAVES_AT_LEAST = 1024

LEAVES_ENOUGH = 16384

BATCH_VOXELS = 2**23
BATCH_CHUNKS = 64

COORDINATES = 2**18
"""A chunk coordinate is below this: an id of 64 bits has at most 18 for each axis beside the 8 of its layer."""

_NAMES = re.compile(r"(?:(?:[0-9]{1,6}_){2}[0-9]{1,6}-(?:[0-9]{1,6}_){2}[0-9]{1,6}(?: |$))*+")
_NAME = re.compile(r"([0-9]{1,6})_([0-9]{1,6})_([0-9]{1,6})-([0-9]{1,6})_([0-9]{1,6})_([0-9]{1,6})")


def block_name(block: Box) -> str:
    """The block as text: `x0_y0_z0-x1_y1_z1`, the stop being exclusive."""
    return "_".join(map(str, block.start)) + "-" + "_".join(map(str, block.stop))


def parse_block(name: str) -> Box:
    """The inverse of `block_name`.

    Raises:
      BadRequestError: if it is no block's name, or the block is empty or lies where no grid reaches.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise BadRequestError(f"not a block of chunks: {name[:80]!r}")
    x0, y0, z0, x1, y1, z1 = map(int, match.groups())
    block = Box((x0, y0, z0), (x1, y1, z1))
    if block.volume == 0 or max(block.stop) > COORDINATES:
        raise BadRequestError(f"an empty or impossible block of chunks: {name!r}")
    return block


def block_corners(names: Iterable[str]) -> Int64Array:
    """int64[n, 2, 3]: start and stop of blocks by their names, for tens of thousands at once.

    Raises:
      BadRequestError: if one is no block's name.
    """
    text = " ".join(names)
    if not _NAMES.fullmatch(text):
        raise BadRequestError("not the names of blocks of chunks")
    return np.fromstring(text.replace("_", " ").replace("-", " "), dtype=np.int64, sep=" ").reshape(-1, 2, 3)


def leaf_size(chunks_of_run: int, most: int, chunk_s: float) -> int:
    """Most chunks in a leaf task of a run.

    Small runs get small leaves, so that all workers have work to the end and progress is seen. A leaf should be work
    for seconds, beside which the delivery of its task is nothing, as long as that leaves work for some workers; and a
    few chunks, so that reading and computing overlap, as long as it leaves work for many. More leaves than
    `LEAVES_ENOUGH` only cost tasks and marks.

    Args:
      chunks_of_run: chunks in the whole run.
      most: what fits into the deadline of a task.
      chunk_s: how long a chunk takes, about.
    """
    long_enough = min(int(LEAF_AT_LEAST_S / chunk_s), chunks_of_run // SHORT_LEAVES_AT_LEAST)
    pipelined = min(PIPELINE_CHUNKS, chunks_of_run // PIPELINED_LEAVES_AT_LEAST)
    return max(1, min(most, max(long_enough, pipelined, chunks_of_run // LEAVES_ENOUGH)))


def batch_size(chunk_voxels: int) -> int:
    """Most chunks of that many voxels that go through the steps of a leaf together: one, unless they are small."""
    return max(1, min(BATCH_CHUNKS, BATCH_VOXELS // chunk_voxels))


def children(block: Box, leaf_chunks: int, chunks_per_file: Triple = ONE_CHUNK, fan_out: int = FAN_OUT) -> list[Box]:
    """The blocks below `block`: disjoint, covering it, halves of halves; all leaves, or all still to be expanded once
    or more. Some `fan_out` of them at the lowest level, at most three times as many.

    Args:
      block: a block of more than `leaf_chunks` chunks; a smaller one is its own only child.
      leaf_chunks: most chunks in a leaf.
      chunks_per_file: chunks per file of the volume along each axis.
      fan_out: children that an expand task should have.
    """
    most = leaf_chunks
    while most * fan_out < block.volume:
        most *= fan_out
    waiting, found = [block], []
    while waiting:
        part = waiting.pop()
        if part.volume <= most:
            found.append(part)
        else:
            waiting.extend(reversed(_halves(part, chunks_per_file)))
    return found


def leaves(block: Box, leaf_chunks: int, chunks_per_file: Triple = ONE_CHUNK) -> Iterator[Box]:
    """All leaves below a block; the arguments are those of `children`, whose lowest ones they are."""
    waiting = [block]
    while waiting:
        part = waiting.pop()
        if part.volume <= leaf_chunks:
            yield part
        else:
            waiting.extend(reversed(_halves(part, chunks_per_file)))


def is_cut_into(block: Box, part: Box, leaf_chunks: int, chunks_per_file: Triple = ONE_CHUNK) -> bool:
    """Whether a part is one of those that a block comes to be cut into, the block itself and its leaves among them.

    Of a row of eight chunks, halved twice, the second quarter is one; its middle, and half a leaf, are none:

    >>> row = Box((0, 0, 0), (8, 1, 1))
    >>> parts = [Box((2, 0, 0), (4, 1, 1)), Box((3, 0, 0), (5, 1, 1)), Box((2, 0, 0), (3, 1, 1))]
    >>> [is_cut_into(row, part, leaf_chunks=2) for part in parts]
    [True, False, False]
    """
    while block != part:
        if block.volume <= leaf_chunks:
            return False
        around = [half for half in _halves(block, chunks_per_file) if half.intersection(part) == part]
        if not around:
            return False
        (block,) = around
    return True


def chunks(block: Box) -> Iterator[Triple]:
    """The chunk coordinates in a block, z fastest."""
    x, y, z = (range(start, stop) for start, stop in zip(block.start, block.stop, strict=True))
    return product(x, y, z)


def chunk_at(block: Box, number: int) -> Triple:
    """The chunk of that number in the order of `chunks`."""
    _, height, depth = block.shape
    x, rest = divmod(number, height * depth)
    y, z = divmod(rest, depth)
    return block.start[0] + x, block.start[1] + y, block.start[2] + z


def _halves(block: Box, chunks_per_file: Triple) -> list[Box]:
    cuts = [_file_cut(block.start[axis], block.stop[axis], chunks_per_file[axis]) for axis in range(3)]
    between_files = [axis for axis in range(3) if cuts[axis] is not None]
    axis = max(between_files or range(3), key=lambda a: block.shape[a])
    middle = block.start[axis] + (block.shape[axis] + 1) // 2
    cut = cuts[axis]
    low_stop, high_start = list(block.stop), list(block.start)
    low_stop[axis] = high_start[axis] = middle if cut is None else cut
    return [Box(block.start, as_triple(low_stop)), Box(as_triple(high_start), block.stop)]


def _file_cut(start: int, stop: int, chunks_per_file: int) -> int | None:
    """The border between files that is nearest to the middle; None if it leaves less than a third on a side."""
    cut = (start + stop + chunks_per_file) // (2 * chunks_per_file) * chunks_per_file
    return cut if 3 * min(cut - start, stop - cut) >= stop - start else None
