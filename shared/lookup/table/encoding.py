"""Columns as bytes: a stream of Arrow, or CSV. The first table loads the library, not the start of the function."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal, TypeAlias

from shared.table.batch import record_batch
from shared.table.column import Column

BufferCompression: TypeAlias = Literal["zstd", "lz4"]
"""Ways to compress the buffers inside a stream, which Arrow's readers undo by themselves."""


def encode_arrow(columns: Sequence[Column], compression: BufferCompression | None = None) -> bytes:
    """An Arrow IPC stream of one batch.

    Units and meanings are in the fields' metadata (`unit`, `meaning`), the units by column also in the schema's
    (`units`, a JSON object).

    Args:
      columns: of the same length, at least one.
      compression: of the buffers; None for none.
    """
    from arro3.io import write_ipc_stream

    stream = io.BytesIO()
    write_ipc_stream(record_batch(columns), stream, compression=compression)
    return stream.getvalue()


def encode_csv(columns: Sequence[Column]) -> bytes:
    """A line of names, and a line per row; nothing between the commas where there is no value. Floats are exact.

    Args:
      columns: of the same length, at least one.
    """
    from arro3.io import write_csv

    text = io.BytesIO()
    write_csv(record_batch(columns), text, header=True)
    return text.getvalue()
