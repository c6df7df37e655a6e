"""Columns as a batch of Arrow. The first batch loads the library, not the start of a function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shared.table.column import Column

if TYPE_CHECKING:
    from arro3.core import Array, DataType, RecordBatch

_NO_ROW = np.uint64(1 << 63)


def record_batch(columns: Sequence[Column]) -> RecordBatch:
    """A batch of Arrow of some columns.

    Units and meanings are in the fields' metadata (`unit`, `meaning`), the units by column also in the schema's
    (`units`, a JSON object).

    Args:
      columns: of the same length, at least one.
    """
    from arro3.core import Field, RecordBatch, Schema

    takes: dict[int, Array] = {}
    arrays = []
    for column in columns:
        array = _values(column)
        if column.there is not None and not column.there.all():
            # the numbers of an array attribute share one mask
            key = id(column.there)
            if key not in takes:
                takes[key] = _places(column)
            array = array.take(takes[key])
        arrays.append(array)
    fields = [
        Field(column.name, array.type, nullable=column.there is not None, metadata=column.metadata)
        for column, array in zip(columns, arrays, strict=True)
    ]
    units = {column.name: column.unit for column in columns if column.unit}
    return RecordBatch.from_arrays(arrays, schema=Schema(fields, metadata={"units": json.dumps(units)}))


def _values(column: Column) -> Array:
    from arro3.core import Array, DataType

    if column.categories:
        texts = Array(list(column.categories), DataType.string())
        named = texts.take(Array.from_numpy(column.values.astype(np.uint32)))
        return named.cast(_dictionary_type())
    if column.values.dtype.kind in "OU":
        return Array(column.values.tolist(), DataType.string())
    return Array.from_numpy(np.ascontiguousarray(column.values))


def _dictionary_type() -> DataType:
    from arro3.core import DataType

    # pandas makes no categories of unsigned numbers
    return DataType.dictionary(DataType.int8(), DataType.string())


def _places(column: Column) -> Array:
    """For each row the number of its value, null where it has none."""
    from arro3.core import Array, DataType

    places = np.full(len(column), _NO_ROW)
    places[column.there] = np.arange(len(column.values), dtype=np.uint64)
    # A number that does not fit becomes null: it is how Arrow casts, and the way to nulls from a numpy array.
    return Array.from_numpy(places).cast(DataType.uint32())
