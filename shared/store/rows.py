"""Rows of a cache table cell for cell, by column: what is needed to write the same rows elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.attributes import AttributeTable
from shared.types import BoolArray, Int64Array, UInt64Array

ABSENT = -1
"""Length of a cell that there is none of; one of 0 bytes says that the node has no value."""

CellKey: TypeAlias = tuple[int, str]
"""Id of the node and name of the attribute."""

RowValues: TypeAlias = "Sequence[bytes | None]"
"""The cells of a row in the order of the attributes; None where there is none."""


@dataclass(frozen=True, eq=False)
class StoredRows:
    """The newest cells of some rows.

    Attributes:
      l2_ids: uint64[n], ascending and distinct.
      written_us: int64[n], the time of each row's newest cell, microseconds since 1970.
      values: by attribute, [n, *shape] of its stored type: what its cells hold, of longer ones the beginning; zeros
        where a cell is shorter.
      lengths: by attribute, int64[n], bytes of its cells; `ABSENT` where there is none.
      odd: the cells that are neither empty nor of their attribute's length.
      times_us: the times of cells that are older than their row's newest.
      others: how many cells of these rows are of no attribute, by `family:qualifier`.
    """

    l2_ids: UInt64Array
    written_us: Int64Array
    values: Mapping[str, npt.NDArray[Any]]
    lengths: Mapping[str, Int64Array]
    odd: Mapping[CellKey, bytes] = field(default_factory=dict)
    times_us: Mapping[CellKey, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.l2_ids)

    def take(self, chosen: BoolArray) -> StoredRows:
        """Some of the rows; `others` stays as it is."""
        return replace(
            self,
            l2_ids=self.l2_ids[chosen],
            written_us=self.written_us[chosen],
            values={name: values[chosen] for name, values in self.values.items()},
            lengths={name: lengths[chosen] for name, lengths in self.lengths.items()},
        )

    def rows(self) -> Iterator[tuple[int, int, dict[str, bytes]]]:
        """Each row's id, time and cells, by attribute."""
        columns = [(name, _cells(self.values[name], self.lengths[name])) for name in self.values]
        for number, (l2_id, written_us) in enumerate(zip(self.l2_ids.tolist(), self.written_us.tolist(), strict=True)):
            cells = {name: cell for name, column in columns if (cell := column[number]) is not None}
            yield l2_id, written_us, {name: self.odd.get((l2_id, name), cell) for name, cell in cells.items()}


def no_rows(attributes: AttributeTable) -> StoredRows:
    """No rows."""
    return stored_rows(attributes, ())


def stored_rows(
    attributes: AttributeTable,
    rows: Iterable[tuple[int, int, RowValues]],
    times_us: Mapping[CellKey, int] | None = None,
    others: Mapping[str, int] | None = None,
) -> StoredRows:
    """Rows out of their cells.

    Args:
      attributes: the attributes, in whose order the cells of a row come.
      rows: id, time of the newest cell, and cells; in any order.
      times_us: see `StoredRows`.
      others: see `StoredRows`.
    """
    packed = PackedRows(attributes)
    for l2_id, written_us, cells in rows:
        packed.add(l2_id, written_us, cells)
    return packed.unpacked(times_us, others)


class PackedRows:
    """Rows whose cells are joined, sorted by the lengths of these: all of a kind are unpacked at once.

    Args:
      attributes: the attributes, in whose order cells are joined.

    Attributes:
      full: the lengths of the cells of a row that has a value of each attribute.
      without: those of a row that has none of the attributes that some nodes do not have.
    """

    def __init__(self, attributes: AttributeTable) -> None:
        self._attributes = attributes
        self.full = tuple(attribute.n_bytes for attribute in attributes)
        self.without = tuple(0 if attribute.mask else attribute.n_bytes for attribute in attributes)
        self._odd: dict[CellKey, bytes] = {}
        self._groups: dict[tuple[int, ...], tuple[list[int], list[int], list[bytes]]] = {}

    def add(self, l2_id: int, written_us: int, cells: RowValues) -> None:
        """Takes a row: its id, its time and its cells."""
        lengths = tuple([ABSENT if cell is None else len(cell) for cell in cells])
        if lengths not in (self.full, self.without):
            sized = [(a.name, a.n_bytes, cell) for a, cell in zip(self._attributes, cells, strict=True) if cell]
            self._odd |= {(l2_id, name): cell for name, size, cell in sized if len(cell) != size}
            cells = [cell[:size].ljust(size, b"\0") for _, size, cell in sized]
        self.add_alike(lengths, [l2_id], [written_us], [b"".join(filter(None, cells))])

    def add_alike(
        self, lengths: tuple[int, ...], l2_ids: Iterable[int], times_us: Iterable[int], joined: Iterable[bytes]
    ) -> None:
        """Takes rows whose cells have the same lengths: of each the ones that are not empty, joined."""
        ids, times, cells = self._groups.setdefault(lengths, ([], [], []))
        ids.extend(l2_ids)
        times.extend(times_us)
        cells.extend(joined)

    def unpacked(
        self, times_us: Mapping[CellKey, int] | None = None, others: Mapping[str, int] | None = None
    ) -> StoredRows:
        """All the rows; see `StoredRows` for the arguments."""
        groups, none = self._groups.values(), np.empty(0, np.uint64)
        l2_ids = np.concatenate([none, *(np.array(ids, np.uint64) for ids, _, _ in groups)])
        written_us = np.concatenate([none.view(np.int64), *(np.array(times, np.int64) for _, times, _ in groups)])
        order = np.argsort(l2_ids)
        values = {a.name: np.zeros((len(l2_ids), *a.shape), a.dtype) for a in self._attributes}
        lengths = {a.name: np.full(len(l2_ids), ABSENT, np.int64) for a in self._attributes}
        start = 0
        for own, (ids, _, cells) in self._groups.items():
            part = slice(start, start := start + len(ids))
            there = [a for a, length in zip(self._attributes, own, strict=True) if length > 0]
            records = np.frombuffer(b"".join(cells), np.dtype([(a.name, a.dtype, a.shape) for a in there]))
            for attribute in there:
                values[attribute.name][part] = records[attribute.name]
            for attribute, length in zip(self._attributes, own, strict=True):
                lengths[attribute.name][part] = length
        return StoredRows(
            l2_ids[order],
            written_us[order],
            {name: column[order] for name, column in values.items()},
            {name: column[order] for name, column in lengths.items()},
            self._odd,
            times_us or {},
            others or {},
        )


def _cells(values: npt.NDArray[Any], lengths: Int64Array) -> list[bytes | None]:
    """The cells of a column; those of odd lengths are wrong."""
    raw, step = np.ascontiguousarray(values).tobytes(), values.dtype.itemsize * int(np.prod(values.shape[1:]))
    cells: list[bytes | None] = [raw[start : start + step] for start in range(0, len(raw), step)]
    for row in np.flatnonzero(lengths <= 0).tolist():
        cells[row] = None if lengths[row] == ABSENT else b""
    return cells
