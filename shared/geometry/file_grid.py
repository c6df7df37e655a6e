"""Which files of an unsharded precomputed volume hold a box, and which part of it each of them holds.

Source: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md#unsharded-chunk-storage
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from shared.geometry.grid import Box, as_triple
from shared.types import Triple


@dataclass(frozen=True)
class Span:
    """What a box and a file have in common along an axis, in voxels.

    Attributes:
      start: where it begins, from the box's first voxel.
      stop: where it ends.
      offset: where it begins in the file.
      extent: the file's; 0 if there is no file, since the volume does not reach there.
    """

    start: int
    stop: int
    offset: int
    extent: int


@dataclass(frozen=True)
class FileGrid:
    """The files of one scale of a volume.

    Attributes:
      volume: the whole volume, in voxels; the grid starts where it does.
      size_voxels: what a file holds, unless the volume ends before.
    """

    volume: Box
    size_voxels: Triple

    def spans(self, box: Box, axis: int) -> list[Span]:
        """A box cut along an axis where files, or the volume, begin and end; the spans cover the box.

        >>> grid = FileGrid(Box((10, 0, 0), (25, 8, 8)), (8, 8, 8))
        >>> for span in grid.spans(Box((12, 0, 0), (30, 8, 8)), axis=0):
        ...     print(span)
        Span(start=0, stop=6, offset=2, extent=8)
        Span(start=6, stop=13, offset=0, extent=7)
        Span(start=13, stop=18, offset=0, extent=0)
        """
        first, last = self.volume.start[axis], self.volume.stop[axis]
        low, high = box.start[axis], box.stop[axis]
        size = self.size_voxels[axis]
        spans, at = [], low
        while at < high:
            if first <= at < last:
                begin = at - (at - first) % size
                end = min(begin + size, last)
                span = Span(at - low, min(end, high) - low, at - begin, end - begin)
            else:
                stop = min(high, first) if at < first else high
                span = Span(at - low, stop - low, 0, 0)
            spans.append(span)
            at = low + span.stop
        return spans

    def file(self, box: Box, spans: tuple[Span, Span, Span]) -> Box | None:
        """What the file holds that spans of a box along x, y and z lie in; None if there is none."""
        if not all(span.extent for span in spans):
            return None
        start = as_triple(low + span.start - span.offset for low, span in zip(box.start, spans, strict=True))
        return Box(start, as_triple(low + span.extent for low, span in zip(start, spans, strict=True)))

    def files(self, box: Box) -> Iterator[Box]:
        """What the files hold that share a voxel with a box."""
        for spans in product(self.spans(box, 0), self.spans(box, 1), self.spans(box, 2)):
            if (file := self.file(box, spans)) is not None:
                yield file


def file_name(held: Box) -> str:
    """The name of the file that holds a box, `0-64_64-128_0-16`."""
    return "_".join(f"{start}-{stop}" for start, stop in zip(held.start, held.stop, strict=True))
