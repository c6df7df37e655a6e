"""Tables as Parquet files, and back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared.errors import BrokenExportError
from shared.table.batch import record_batch
from shared.table.column import Column
from shared.types import BoolArray

if TYPE_CHECKING:
    from arro3.core import Array

ROWS_PER_GROUP = 32_768
"""A group has the smallest and the largest value of each column, by which readers leave it out: a few chunks each."""

ROWS_PER_BATCH = 65_536
COMPRESSION = "zstd(1)"
_PANIC = "PanicException"
"""What a panic of a library in Rust is raised as: of a class that cannot be imported, and no Exception."""


def encode_parquet(parts: Iterable[Sequence[Column]], origin: str = "") -> bytes:
    """A Parquet file of parts of a table, the same bytes for the same parts.

    Encodings are plain ones, which every reader knows.

    Args:
      parts: at least one; the same columns in each, of the same length within a part.
      origin: what the file's metadata tell of where its rows are from.
    """
    from arro3.core import RecordBatchReader
    from arro3.io import write_parquet

    batches = [record_batch(columns) for columns in parts]
    file = io.BytesIO()
    write_parquet(
        RecordBatchReader.from_batches(batches[0].schema, batches),
        file,
        compression=COMPRESSION,
        dictionary_enabled=False,
        max_row_group_size=ROWS_PER_GROUP,
        # One entry only: of several the library does not keep the order.
        key_value_metadata={"origin": origin},
    )
    return file.getvalue()


def have_same_schema(one: bytes, other: bytes) -> bool:
    """Whether two Parquet files have the same columns and the same origin.

    Raises:
      BrokenExportError: if one of them is no Parquet file.
    """
    from arro3.io import read_parquet

    with _errors():
        ours, theirs = (read_parquet(io.BytesIO(content)).schema for content in (one, other))
        return bool(ours == theirs)


def decode_parquet(content: bytes) -> Iterator[dict[str, tuple[npt.NDArray[Any], BoolArray]]]:
    """The columns of a Parquet file, in parts: the values there are, and bool[n], in which rows.

    Raises:
      BrokenExportError: if it is no Parquet file.
    """
    from arro3.core import RecordBatch
    from arro3.io import read_parquet

    with _errors():
        for batch in read_parquet(io.BytesIO(content), batch_size=ROWS_PER_BATCH):
            part = RecordBatch.from_arrow(batch)
            yield {name: _values(part.column(name)) for name in part.column_names}


@contextmanager
def _errors() -> Iterator[None]:
    """The library raises a bare Exception for whatever is wrong with a file, and panics where its end is broken."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == _PANIC:
            raise BrokenExportError("a file is no Parquet file") from error
        raise


def _values(array: Array) -> tuple[npt.NDArray[Any], BoolArray]:
    length = len(array)
    if not array.null_count and "Utf8" not in str(array.type):
        return array.to_numpy(), np.ones(length, np.bool_)
    # What has nulls the library does not give as numpy's.
    values = array.to_pylist()
    there = np.fromiter((value is not None for value in values), np.bool_, length)
    found = [value for value in values if value is not None]
    return np.array(found, dtype=object if found and isinstance(found[0], str) else None), there
