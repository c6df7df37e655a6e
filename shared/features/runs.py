"""`LabelRuns`: a chunk of labels as runs along x, which is all the engine needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import TooLargeError
from shared.features.lanes import LANES
from shared.features.scan import CLOSED, EMPTY, NUMBERED, OPEN, TILE, fill_labels, renumber, scan_rows
from shared.features.threads import in_ranges


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """Runs of equal labels along x; rows are numbered y + ny * z.

    Attributes:
      axes: the chunk's axes that are called x, y, z here: another order than (0, 1, 2) where the chunk is one voxel
        thick along x, as a voxel is too short for a run.
      shape: (nx, ny, nz), in voxels.
      ranges: uint32[2, ny * nz], numbers of each row's first run, and of the one after its last.
      run_end: uint16[m], x after each run's last voxel; a run begins where its predecessor in the row ends.
      run_label: uint32[m], each run's position in `ids`.
      ids: uint64[k], the labels in no particular order, without repetition; ids[0] is 0, the background.

    A chunk of 6 x 2 x 1 voxels: along x, the first row has two runs, the second one three.

    >>> labels = np.array([[7, 7, 7, 7, 9, 9], [0, 0, 9, 9, 9, 7]], np.uint64).T[:, :, np.newaxis]
    >>> runs = find_runs(labels)
    >>> runs.shape, runs.labels()
    ((6, 2, 1), array([7, 9], dtype=uint64))
    >>> for row, (first, stop) in enumerate(runs.ranges.T):
    ...     print(row, [(int(runs.run_end[i]), int(runs.ids[runs.run_label[i]])) for i in range(first, stop)])
    0 [(4, 7), (6, 9)]
    1 [(2, 0), (5, 9), (6, 7)]

    Other labels are put in place of these without going back to the voxels, which is how the supervoxels of a chunk
    become its nodes. A label that is given none becomes background:

    >>> nodes = runs.mapped(np.array([7, 9], np.uint64), np.array([100, 0], np.uint64))
    >>> nodes.labels()
    array([100], dtype=uint64)
    >>> nodes.ids[nodes.dense()[:, 0, 0]].tolist()
    [100, 100, 100, 100, 0, 0]
    """

    axes: tuple[int, int, int]
    shape: tuple[int, int, int]
    ranges: npt.NDArray[np.uint32]
    run_end: npt.NDArray[np.uint16]
    run_label: npt.NDArray[np.uint32]
    ids: npt.NDArray[np.uint64]

    def labels(self) -> npt.NDArray[np.uint64]:
        """uint64[n], labels of the chunk but 0, ascending."""
        return np.sort(self.ids[1:])

    def dense(self) -> npt.NDArray[np.uint32]:
        """uint32[nx, ny, nz] in Fortran order: each voxel's position in `ids`."""
        flat = np.empty(int(np.prod(self.shape)), np.uint32)
        fill_labels(self.ranges, self.run_end, self.run_label, self.shape[0], flat)
        return flat.reshape(self.shape, order="F")

    def mapped(self, labels: npt.NDArray[np.uint64], to: npt.NDArray[np.uint64]) -> LabelRuns:
        """The same chunk with other labels.

        Args:
          labels: uint64[n], ascending.
          to: uint64[n], the new label of each; a label of the chunk that is not in `labels` becomes 0.
        """
        new = np.zeros(len(self.ids), np.uint64)
        if len(labels):
            position = np.minimum(np.searchsorted(labels, self.ids), len(labels) - 1)
            new = np.where(labels[position] == self.ids, to[position], new)
        new[0] = 0
        new_ids, numbers = np.unique(new, return_inverse=True)
        ranges, run_end, run_label = (
            np.empty_like(self.ranges),
            np.empty_like(self.run_end),
            np.empty_like(self.run_label),
        )
        runs = renumber(
            self.ranges, self.run_end, self.run_label, numbers.astype(np.uint32), ranges, run_end, run_label
        )
        return LabelRuns(self.axes, self.shape, ranges, run_end[:runs], run_label[:runs], new_ids)


@dataclass(frozen=True, eq=False)
class _Rows:
    """A chunk's memory as a sequence of rows along x, in an order in which it is read without jumps.

    `layout` is that of `scan_rows`; `count` the number of rows.
    """

    flat: npt.NDArray[Any]
    width: int
    layout: npt.NDArray[np.int64]
    count: int


class TooManyLabelsError(TooLargeError):
    """There are more labels than the caller has asked for."""


def find_runs(
    labels: npt.NDArray[Any],
    wanted: npt.NDArray[np.uint64] | None = None,
    threads: int = 1,
    most_labels: int | None = None,
) -> LabelRuns:
    """Runs of a chunk of labels.

    Args:
      labels: unsigned integers [x, y, z] in any memory order.
      wanted: uint64[k] without repetition, the labels to keep; others become 0. All are kept if None.
      threads: how many threads to use.
      most_labels: how many there may be where all are kept; any number if None.

    Raises:
      TooManyLabelsError: if there are more.
    """
    axes = run_axes(labels.shape)
    labels = labels.transpose(axes)
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    rows = _rows(labels)
    ranges = np.empty((2, rows.count), np.uint32)
    known = np.zeros(0, np.uint64) if wanted is None else wanted
    mode = OPEN if wanted is None else CLOSED
    parts = in_ranges(lambda begin, end: _scan(rows, begin, end, ranges, mode, known, most_labels), rows.count, threads)
    ids = np.unique(np.concatenate([np.zeros(1, np.uint64), *(part.ids for part in parts)]))
    labels_of = [np.searchsorted(ids, part.ids).astype(np.uint32)[part.run_label] for part in parts]
    return LabelRuns(axes, shape, ranges, _joined(rows, ranges, parts), _concatenated(labels_of, np.uint32), ids)


def numbered_runs(
    numbers: npt.NDArray[np.uint32], ids: npt.NDArray[np.uint64], axes: tuple[int, int, int], threads: int
) -> LabelRuns:
    """Runs of a volume of numbers.

    Args:
      numbers: uint32[nx, ny, nz], each voxel's position in `ids`.
      ids: uint64[k], ids[0] is 0.
      axes: of the chunk that are x, y, z of the volume.
      threads: how many threads to use.
    """
    shape = (numbers.shape[0], numbers.shape[1], numbers.shape[2])
    rows = _rows(numbers)
    ranges = np.empty((2, rows.count), np.uint32)
    nothing = np.zeros(0, np.uint64)
    parts = in_ranges(lambda begin, end: _scan(rows, begin, end, ranges, NUMBERED, nothing, None), rows.count, threads)
    labels = _concatenated([part.run_label for part in parts], np.uint32)
    return LabelRuns(axes, shape, ranges, _joined(rows, ranges, parts), labels, ids)


@dataclass(frozen=True, eq=False)
class _Part:
    """Runs of a range of rows, with numbers of their own: run_end uint16[m], run_label uint32[m], ids uint64[k]."""

    run_end: npt.NDArray[np.uint16]
    run_label: npt.NDArray[np.uint32]
    ids: npt.NDArray[np.uint64]


def _scan(
    rows: _Rows,
    begin: int,
    end: int,
    ranges: npt.NDArray[np.uint32],
    mode: int,
    first_ids: npt.NDArray[np.uint64],
    most_labels: int | None,
) -> _Part:
    """Runs of the rows begin <= p < end by a mode of `scan_rows`; arrays grow as they fill up."""
    known = 1 + len(first_ids)
    ids = np.zeros(max(1024, known + rows.width), np.uint64)
    ids[1:known] = first_ids
    run_end = np.empty(max(4 * rows.width, (end - begin) * rows.width // 16), np.uint16)
    run_label = np.empty(len(run_end), np.uint32)
    tile = np.empty(TILE * rows.width + LANES, rows.flat.dtype)
    runs = 0
    while True:
        table = empty_table(ids)
        begin, known, runs = scan_rows(
            rows.flat, rows.width, rows.layout, tile, begin, end, mode, table, ids, known, runs,
            ranges, run_end, run_label,
        )  # fmt: skip
        if begin == end:
            return _Part(run_end[:runs], run_label[:runs], ids[:known])
        if mode == OPEN and most_labels is not None and known > most_labels:
            raise TooManyLabelsError(f"more than {most_labels} labels in a chunk")
        if known + rows.width > len(ids):
            ids = grown(ids)
        if runs + rows.width > len(run_end):
            run_end, run_label = grown(run_end), grown(run_label)


def grown(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy with room for three times as many elements."""
    larger = np.empty(3 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger


def empty_table(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """A table for the numbers of as many labels as `ids` has room for, at most half of it full."""
    return np.full(2 ** (2 * len(ids) - 1).bit_length(), EMPTY, np.uint32)


def run_axes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Order of axes in which runs are longer than a voxel if they can be.

    An axis of one voxel has no boundary, so its place among the others changes no distance, weight or order.
    """
    if shape[0] != 1 or max(shape) <= 1:
        return 0, 1, 2
    return (1, 0, 2) if shape[1] > 1 else (2, 0, 1)


def _joined(rows: _Rows, ranges: npt.NDArray[np.uint32], parts: list[_Part]) -> npt.NDArray[np.uint16]:
    """run_end of all parts, which are of consecutive ranges of rows; their numbers in `ranges` become those in it."""
    if len(parts) > 1:
        _, _, _, inner_count, inner_step, outer_step = rows.layout
        p = np.arange(rows.count)
        row = p % inner_count * inner_step + p // inner_count * outer_step
        offset = 0
        for i, part in enumerate(parts):
            ranges[:, row[rows.count * i // len(parts) : rows.count * (i + 1) // len(parts)]] += np.uint32(offset)
            offset += len(part.run_end)
    return _concatenated([part.run_end for part in parts], np.uint16)


def _concatenated(parts: list[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, dtype), *parts])


def _rows(labels: npt.NDArray[Any]) -> _Rows:
    """Rows of an array, in the order in which y and z lie in memory.

    An array with strides that are negative, or no multiples of an element's size, is copied first.
    """
    if not labels.dtype.isnative:
        labels = labels.astype(labels.dtype.newbyteorder("="))
    size = labels.itemsize
    if any(stride < 0 or stride % size for stride in labels.strides):
        labels = np.ascontiguousarray(labels)
    width, height, depth = labels.shape
    stride_x, stride_y, stride_z = (stride // size for stride in labels.strides)
    if width == 1:
        stride_x = 1
    if depth == 1 or (height > 1 and stride_y <= stride_z):
        layout = [stride_x, stride_y, stride_z, height, 1, height]
    else:
        layout = [stride_x, stride_z, stride_y, depth, height, 1]
    length = 1 + (width - 1) * stride_x + (height - 1) * stride_y + (depth - 1) * stride_z
    flat = np.lib.stride_tricks.as_strided(labels, (length,), (size,), writeable=False)
    return _Rows(flat, width, np.array(layout, np.int64), height * depth)
