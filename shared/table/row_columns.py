"""Stored rows as the columns that clients read, and back, byte for byte.

Nearly all rows follow from the columns: a number there is tells its cell, a number missing that the cell has 0 bytes or
that there is none. A row that does not, because somebody else wrote it or a cell is damaged, has its cells as they are
stored in one more column.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.attributes import SIZE, VOXELLESS_SIZE, Attribute, AttributeTable
from shared.errors import BrokenExportError
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import chunk_coordinates
from shared.store.rows import ABSENT, StoredRows, stored_rows
from shared.table.attribute_columns import in_table_order
from shared.table.column import Column, flattened
from shared.types import BoolArray, Int64Array, UInt64Array

CELLS_AS_STORED = "cells_as_stored"
WRITTEN = "written_us"

NumbersThere = tuple[npt.NDArray[Any], BoolArray]
"""The numbers of a column that are there, and in which rows."""


def row_columns(
    rows: StoredRows, attributes: Sequence[Attribute], geometry: GraphGeometry, *, is_whole: bool
) -> list[Column]:
    """The columns of some rows: `l2_id`, the chunk, the attributes as clients get them, and the time of writing.

    Args:
      rows: the rows.
      attributes: those that are wanted.
      geometry: of the graph; makes nm out of voxels.
      is_whole: whether rows are to follow from the columns; the attributes must be all there are then.
    """
    chunks = chunk_coordinates(rows.l2_ids, geometry.layout).astype(np.int32)
    columns = [Column("l2_id", rows.l2_ids, meaning="id of the L2 node")]
    columns += [
        Column(f"chunk_{axis}", np.ascontiguousarray(chunks[:, number]), meaning=f"chunk of the node along {axis}")
        for number, axis in enumerate("xyz")
    ]
    there = {a.name: rows.lengths[a.name] >= a.n_bytes for a in attributes}
    deviates = np.zeros(len(rows), np.bool_)
    for attribute in in_table_order(attributes):
        has_value = there[attribute.name]
        # most attributes are there in all rows
        chosen: Any = slice(None) if has_value.all() else has_value
        stored, l2_ids = rows.values[attribute.name][chosen], rows.l2_ids[chosen]
        answered = attribute.answer(stored, l2_ids, geometry)
        columns += flattened(attribute.column_names, answered, has_value, attribute.unit, attribute.meaning)
        if is_whole:
            deviates[chosen] |= _differ(stored, _restored(attribute, answered, l2_ids, geometry))
    columns.append(Column(WRITTEN, rows.written_us, unit="us", meaning="when the newest cell was written, since 1970"))
    if is_whole:
        usual = usual_lengths(attributes, there, rows.values[SIZE.name])
        for attribute in attributes:
            deviates |= rows.lengths[attribute.name] != usual[attribute.name]
        columns.append(_cells_as_stored(rows, deviates))
    return columns


def usual_lengths(
    attributes: Sequence[Attribute], there: Mapping[str, BoolArray], sizes: npt.NDArray[Any]
) -> dict[str, Int64Array]:
    """How long the cells of rows of ours are, by attribute, given which of their values are there.

    Args:
      attributes: all attributes.
      there: by attribute, bool[n].
      sizes: [n], numbers of voxels; any number where there is none.
    """
    voxelless = there[SIZE.name] & (sizes == 0)
    for attribute in attributes:
        if attribute is not SIZE:
            voxelless &= ~there[attribute.name]
    lengths = {}
    for attribute in attributes:
        missing = ABSENT if attribute.mask is None else 0
        alone = len(VOXELLESS_SIZE) if attribute is SIZE else ABSENT
        own = np.where(there[attribute.name], attribute.n_bytes, missing)
        lengths[attribute.name] = np.where(voxelless, alone, own).astype(np.int64)
    return lengths


def rows_of_columns(
    columns: Mapping[str, NumbersThere], attributes: AttributeTable, geometry: GraphGeometry
) -> list[StoredRows]:
    """The inverse of `row_columns`: the rows that follow from the columns, and those whose cells stand in them.

    Args:
      columns: by name.
      attributes: all attributes; those without columns are in no row.
      geometry: of the graph.

    Raises:
      BrokenExportError: if they are no columns of rows.
    """
    try:
        return _rows_of_columns(columns, attributes, geometry)
    except (KeyError, ValueError, TypeError) as error:
        raise BrokenExportError(f"the columns of a file are not those of rows: {error!r}") from error


def _rows_of_columns(
    columns: Mapping[str, NumbersThere], attributes: AttributeTable, geometry: GraphGeometry
) -> list[StoredRows]:
    l2_ids, written_us = columns["l2_id"][0], columns[WRITTEN][0]
    there: dict[str, BoolArray] = {}
    values: dict[str, npt.NDArray[Any]] = {}
    for attribute in attributes:
        values[attribute.name] = np.zeros((len(l2_ids), *attribute.shape), attribute.dtype)
        there[attribute.name] = has_value = columns.get(attribute.column_names[0], (l2_ids, l2_ids == 0))[1]
        if has_value.any():
            numbers = np.stack([columns[name][0] for name in attribute.column_names], axis=-1)
            answered = numbers.reshape(-1, *attribute.shape)
            values[attribute.name][has_value] = _restored(attribute, answered, l2_ids[has_value], geometry)
    lengths = usual_lengths(attributes.attributes, there, values[SIZE.name])
    texts, has_text = columns[CELLS_AS_STORED]
    voxelless = l2_ids[lengths[SIZE.name] == len(VOXELLESS_SIZE)].tolist()
    usual = StoredRows(l2_ids, written_us, values, lengths, {(l2_id, SIZE.name): VOXELLESS_SIZE for l2_id in voxelless})
    if not has_text.any():
        return [usual]
    documents = list(map(json.loads, texts))
    ids = l2_ids[has_text].tolist()
    cells = [[_cell(document, name) for name in attributes.names] for document in documents]
    times = {
        (l2_id, name): us
        for l2_id, document in zip(ids, documents, strict=True)
        for name, us in document.get(WRITTEN, {}).items()
    }
    exact = stored_rows(attributes, zip(ids, written_us[has_text].tolist(), cells, strict=True), times)
    return [usual.take(~has_text), exact]


def _cell(document: Mapping[str, Any], name: str) -> bytes | None:
    return b64decode(document["cells"][name], validate=True) if name in document["cells"] else None


def _cells_as_stored(rows: StoredRows, deviates: BoolArray) -> Column:
    wrong = {l2_id for (l2_id, _), cell in rows.odd.items() if cell != VOXELLESS_SIZE}
    wrong.update(l2_id for l2_id, _ in rows.times_us)
    if wrong:
        deviates = deviates | np.isin(rows.l2_ids, np.fromiter(wrong, np.uint64, len(wrong)))
    texts = []
    for l2_id, _, cells in rows.take(deviates).rows() if deviates.any() else ():
        document: dict[str, Any] = {"cells": {name: b64encode(cell).decode() for name, cell in cells.items()}}
        times_us = {name: rows.times_us[l2_id, name] for name in cells if (l2_id, name) in rows.times_us}
        texts.append(json.dumps(document | ({WRITTEN: times_us} if times_us else {}), separators=(",", ":")))
    meaning = "the row's cells as JSON, in base64, where they do not follow from the other columns"
    return Column(CELLS_AS_STORED, np.array(texts, dtype=object), deviates, meaning=meaning)


def _restored(
    attribute: Attribute, answered: npt.NDArray[Any], l2_ids: UInt64Array, geometry: GraphGeometry
) -> npt.NDArray[Any]:
    # What does not fit into the stored type was not made of it.
    with np.errstate(invalid="ignore", over="ignore"):
        return attribute.restore(answered, l2_ids, geometry).astype(attribute.dtype)


def _differ(stored: npt.NDArray[Any], restored: npt.NDArray[Any]) -> BoolArray:
    """bool[m], in which rows two arrays have different bytes."""
    one, other = np.ascontiguousarray(stored), np.ascontiguousarray(restored)
    if one.tobytes() == other.tobytes():
        return np.zeros(len(one), np.bool_)
    shape = len(one), -1
    return np.asarray((one.view(np.uint8).reshape(shape) != other.view(np.uint8).reshape(shape)).any(axis=1))
