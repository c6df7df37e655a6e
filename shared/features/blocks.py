"""`BlockRuns`: the runs of a box out of blocks of compressed_segmentation, without a volume of its voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shared.errors import TransientError
from shared.features.encoded import COLUMNS, DONE, SHORT_CODES, SOUND, enter_labels, find_encoded_runs
from shared.features.runs import LabelRuns, empty_table, grown
from shared.geometry.file_grid import Span
from shared.types import Triple

WORD_BYTES = 4


class DamagedFileError(TransientError):
    """What a file's blocks tell of is not in it; `position` is the file's among those that were given."""

    def __init__(self, position: int) -> None:
        super().__init__(f"file {position} of a row holds no blocks of compressed_segmentation")
        self.position = position


class BlockRuns:
    """Finds the runs along x of a box of files, one row of files after another in any order.

    Args:
      shape: of the box, in voxels, up to 65,535 along x.
      block: extent of a block, in voxels.
      label_bytes: of an encoded label, 4 or 8.
    """

    def __init__(self, shape: Triple, block: Triple, label_bytes: int) -> None:
        width, height, depth = shape
        self._shape, self._block_width = shape, block[0]
        self._block, self._label_words = np.array(block, np.int64), label_bytes // WORD_BYTES
        self._ranges = np.empty((2, height * depth), np.uint32)
        self._run_end = np.empty(max(4 * width, math.prod(shape) // 16), np.uint16)
        self._run_label = np.empty(len(self._run_end), np.uint32)
        self._runs = 0
        self._ids = np.zeros(max(1024, 1 + width), np.uint64)
        self._known = 1
        self._table = self._numbered()

    def add(self, contents: Sequence[bytes], x_spans: Sequence[Span], y_span: Span, z_span: Span) -> None:
        """Finds the runs of the files that follow each other along x.

        Args:
          contents: of each file; empty where there is nothing but background.
          x_spans: what each file and the box have in common along x (`FileGrid.spans`); they cover the box.
          y_span: the same along y.
          z_span: the same along z.

        Raises:
          DamagedFileError: if a file is not what it should be. It tells where, and nothing can be added any more.
        """
        for position, content in enumerate(contents):
            if len(content) % WORD_BYTES:
                raise DamagedFileError(position)
        words = np.frombuffer(b"".join(contents), np.dtype("<u4"))
        starts = np.cumsum([0, *(len(content) // WORD_BYTES for content in contents)], dtype=np.int64)
        places = np.array([_columns(span) for span in x_spans], np.int64)
        y, z = np.array(_columns(y_span), np.int64), np.array(_columns(z_span), np.int64)
        most_blocks = sum(2 + (span.stop - span.start) // self._block_width for span in x_spans)
        opened = np.empty((most_blocks, COLUMNS), np.int64)
        numbers = np.empty((most_blocks, SHORT_CODES), np.uint32)
        row = 0
        while True:
            row, self._known, self._runs, damaged = find_encoded_runs(
                words, starts, places, y, z, self._block, self._label_words, self._shape[1], row,
                self._table, self._ids, self._known, self._ranges, self._run_end, self._run_label, self._runs,
                opened, numbers,
            )  # fmt: skip
            if damaged != SOUND:
                raise DamagedFileError(int(damaged))
            if row == DONE:
                return
            self._make_room()

    def runs(self) -> LabelRuns:
        """The runs of the whole box, once all its files have been added."""
        end, label = self._run_end[: self._runs], self._run_label[: self._runs]
        return LabelRuns((0, 1, 2), self._shape, self._ranges, end, label, self._ids[: self._known])

    def _make_room(self) -> None:
        """Makes room for the labels and runs of another row of voxels at least."""
        width = self._shape[0]
        if self._known + width > len(self._ids):
            self._ids = grown(self._ids)
            self._table = self._numbered()
        if self._runs + width > len(self._run_end):
            self._run_end, self._run_label = grown(self._run_end), grown(self._run_label)

    def _numbered(self) -> npt.NDArray[np.uint32]:
        table = empty_table(self._ids)
        enter_labels(table, self._ids, self._known)
        return table


def _columns(span: Span) -> tuple[int, int, int, int]:
    return span.start, span.stop, span.offset, span.extent
