"""Kernels that find runs in files of compressed_segmentation, whose blocks already say where labels may change.

Source of the format:
https://github.com/google/neuroglancer/blob/master/src/sliceview/compressed_segmentation/README.md
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from __future__ import annotations

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from shared.features.compiled import kernel, part
from shared.features.scan import OPEN, enter_known, number_of

SOUND = -1  # no file is damaged
DONE = -1  # there is no row to continue at
START, STOP, OFFSET, EXTENT = range(4)  # columns of spans
COLUMNS = 7
SHORT_CODES = 256  # a block with no more has a memory for its codes' numbers
_FROM, _LENGTH, _BITS, _LOG_BITS, _VALUES, _TABLE, _END = range(COLUMNS)
_UNIFORM = 0  # bits of a block of one label, whose number stands in place of its table
_ONE = np.uint64(1)
_UNKNOWN = np.uint32(0xFFFFFFFF)


@kernel
def enter_labels(table, ids, known):
    """Enter the first `known` of `ids` into an empty table of numbers."""
    enter_known(table, ids, known)


@part
def _label(words, at, label_words):
    """The label that begins at a word."""
    label = np.uint64(words[at])
    if label_words == 2:
        label |= np.uint64(words[at + 1]) << np.uint64(32)
    return label


@part
def _open_block(words, base, end, number, last, label_words, opened):
    """Read a block's header: number of the block, and of its last voxel; False if what it tells of is not there."""
    header = base + 2 * number
    if header + 2 > end:
        return False
    bits = np.int64(words[header] >> np.uint32(24))
    table = base + np.int64(words[header] & np.uint32(0xFFFFFF))
    values = base + np.int64(words[header + 1])
    if bits > 32 or bits & (bits - 1) != 0 or table + label_words > end:
        return False
    if bits > 0 and values + last * bits // 32 >= end:
        return False
    opened[_BITS] = bits
    opened[_TABLE] = table
    opened[_VALUES] = values
    opened[_END] = end
    return True


@part
def _open_blocks(words, starts, x_spans, place, extents, block, label_words, table, ids, known, opened, numbers):
    """Open the blocks of a row of files along x, those at `place` along y and z; returns how many, labels, what fails.

    Where there is no file, a block is opened that is background as far as the span goes.
    """
    count = 0
    for file in range(x_spans.shape[0]):
        x = x_spans[file, START]
        stop = x_spans[file, STOP]
        start = starts[file]
        end = starts[file + 1]
        if start == end:
            opened[count, _FROM] = x
            opened[count, _BITS] = _UNIFORM
            opened[count, _TABLE] = 0
            count += 1
            continue
        base = start + np.int64(words[start])
        extent = x_spans[file, EXTENT]
        across = -(-extent // block[0])
        before = across * (place[0] + -(-extents[0] // block[1]) * place[1])
        ends = (min(block[2], extents[1] - place[1] * block[2]) - 1) * block[1]
        ends += min(block[1], extents[0] - place[0] * block[1]) - 1
        at = x_spans[file, OFFSET]
        while x < stop:
            column = at // block[0]
            within = at - column * block[0]
            last = ends * block[0] + min(block[0], extent - column * block[0]) - 1
            if not _open_block(words, base, end, before + column, last, label_words, opened[count]):
                return count, known, file
            length = min(block[0] - within, stop - x)
            bits = opened[count, _BITS]
            opened[count, _FROM] = x
            opened[count, _LENGTH] = length
            if bits == _UNIFORM:
                label = _label(words, opened[count, _TABLE], label_words)
                number = number_of(table, ids, label, known, OPEN)
                known = max(known, number + 1)
                opened[count, _TABLE] = number
                if count > 0 and opened[count - 1, _BITS] == _UNIFORM and opened[count - 1, _TABLE] == number:
                    count -= 1
            else:
                opened[count, _LOG_BITS] = trailing_zeros(bits)
                opened[count, _VALUES] = 32 * opened[count, _VALUES] + within * bits
                if 1 << bits <= SHORT_CODES:
                    for code in range(1 << bits):
                        numbers[count, code] = _UNKNOWN
            count += 1
            x += length
            at += length
    return count, known, SOUND


@part
def _number_of_code(words, code, block, numbers, label_words, table, ids, known):
    """The number of the label that a code stands for in an opened block; -1 if the file ends before it."""
    if code < SHORT_CODES and numbers[code] != _UNKNOWN and (1 << block[_BITS]) <= SHORT_CODES:
        return np.int64(numbers[code])
    at = block[_TABLE] + code * label_words
    if at + label_words > block[_END]:
        return np.int64(-1)
    number = number_of(table, ids, _label(words, at, label_words), known, OPEN)
    if (1 << block[_BITS]) <= SHORT_CODES:
        numbers[code] = number
    return number


@part
def _codes(words, at, n_bits):
    """So many bits from a bit on, 64 at most, in the lower bits of a number."""
    shift = at & 31
    codes = np.uint64(words[at >> 5]) >> np.uint64(shift)
    if shift + n_bits > 32:
        codes |= np.uint64(words[(at >> 5) + 1]) << np.uint64(32 - shift)
    return codes


@part
def _find_row(
    words, opened, numbers, count, within, width, label_words, table, ids, known, run_end, run_label, runs
):  # fmt: skip
    """Add the runs of the row that lies `within` voxels deep in opened blocks.

    Where all codes of a block's row fit into one number, the places at which they change are its set bits after an
    exclusive or with itself, moved by a code.

    Returns:
      labels, runs, and the block whose table ends too early, or SOUND.
    """
    current = np.int64(0)
    for i in range(count):
        x = opened[i, _FROM]
        bits = opened[i, _BITS]
        number = opened[i, _TABLE]
        if bits == _UNIFORM:
            if number != current:
                if x > 0:
                    run_end[runs] = x
                    run_label[runs] = current
                    runs += 1
                current = number
            continue
        at = opened[i, _VALUES] + within * bits
        length = opened[i, _LENGTH]
        is_short = (at & 31) + length * bits <= 64
        changes = np.uint64(0)
        if is_short:
            codes = _codes(words, at, length * bits)
            changes = (codes ^ (codes >> np.uint64(bits))) & ((_ONE << np.uint64((length - 1) * bits)) - _ONE)
        step = np.int64(0)
        previous = np.int64(-1)
        while step < length:
            code = np.int64(_codes(words, at + step * bits, bits)) & ((1 << bits) - 1)
            if code != previous:
                previous = code
                number = _number_of_code(words, code, opened[i], numbers[i], label_words, table, ids, known)
                if number < 0:
                    return known, runs, i
                known = max(known, number + 1)
                if number != current:
                    if x + step > 0:
                        run_end[runs] = x + step
                        run_label[runs] = current
                        runs += 1
                    current = number
            if not is_short:
                step += 1
            elif changes == 0:
                step = length
            else:
                step = 1 + (np.int64(trailing_zeros(changes)) >> opened[i, _LOG_BITS])
                changes &= ~((_ONE << np.uint64(step * bits)) - _ONE)
    run_end[runs] = width
    run_label[runs] = current
    return known, runs + 1, SOUND


@kernel
def find_encoded_runs(
    words, starts, x_spans, y_span, z_span, block, label_words, height, begin,
    table, ids, known, ranges, run_end, run_label, runs, opened, numbers,
):  # fmt: skip
    """Runs along x in a row of files, until one might not fit any more, or a file turns out to be damaged.

    Nothing is read beyond a file's end, whatever is in it.

    Args:
      words: uint32[w], content of the files, one after the other.
      starts: int64[n + 1], where each file's words start, and the last one's end; a file without words is background.
      x_spans: int64[n, 4], of each file along x: first voxel in the chunk, the one after the last, first voxel in the
        file, extent of the file.
      y_span: int64[4], the same along y.
      z_span: int64[4], the same along z.
      block: int64[3], extent of a block.
      label_words: words of a label, 1 or 2.
      height: of the chunk, along y: row y + height * z is at y, z.
      begin: number of the first row, as it was returned: rows are numbered as they lie in blocks.
      table: uint32[power of two], numbers of `ids` by their hashes, in which there is room.
      ids: uint64[k], labels by number.
      known: how many of them there are.
      ranges: uint32[2, ny * nz], receives each row's first run, and the one after its last.
      run_end: uint16[m], receives x after each run.
      run_label: uint32[m], receives each run's label's number.
      runs: how many runs there are.
      opened: int64[b, COLUMNS], scratch: as many rows as blocks may lie along x.
      numbers: uint32[b, SHORT_CODES], scratch.

    Returns:
      the row at which to continue, DONE if there is none; `known`; `runs`; the damaged file, or SOUND.
    """
    width = x_spans[-1, STOP]
    extents = (y_span[EXTENT], z_span[EXTENT])
    y_from, z_from = y_span[OFFSET], z_span[OFFSET]
    y_to = y_from + y_span[STOP] - y_span[START]
    z_to = z_from + z_span[STOP] - z_span[START]
    rows = 0
    for block_z in range(z_from // block[2], -(-z_to // block[2])):
        for block_y in range(y_from // block[1], -(-y_to // block[1])):
            z_low, z_high = max(z_from, block_z * block[2]), min(z_to, (block_z + 1) * block[2])
            y_low, y_high = max(y_from, block_y * block[1]), min(y_to, (block_y + 1) * block[1])
            first_row = rows
            rows += (z_high - z_low) * (y_high - y_low)
            if rows <= begin:
                continue
            if known + width > ids.size:
                return max(begin, first_row), known, runs, SOUND
            count, known, damaged = _open_blocks(
                words, starts, x_spans, (block_y, block_z), extents, block, label_words, table, ids, known, opened,
                numbers,
            )  # fmt: skip
            if damaged != SOUND:
                return begin, known, runs, damaged
            for row in range(max(begin, first_row), rows):
                if known + width > ids.size or runs + width > run_end.size:
                    return row, known, runs, SOUND
                z = z_low + (row - first_row) // (y_high - y_low)
                y = y_low + (row - first_row) % (y_high - y_low)
                place = y - y_from + y_span[START] + height * (z - z_from + z_span[START])
                within = ((z - block_z * block[2]) * block[1] + y - block_y * block[1]) * block[0]
                ranges[0, place] = runs
                known, runs, failed = _find_row(
                    words, opened, numbers, count, within, width, label_words, table, ids, known, run_end, run_label,
                    runs,
                )  # fmt: skip
                if failed != SOUND:
                    return row, known, runs, _file_at(x_spans, opened[failed, _FROM])
                ranges[1, place] = runs
    return DONE, known, runs, SOUND


@part
def _file_at(x_spans, x):
    """Which of a row of files holds x."""
    file = 0
    while x >= x_spans[file, STOP]:
        file += 1
    return file
