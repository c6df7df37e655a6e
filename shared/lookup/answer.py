"""Cells of the cache as the JSON that clients read, column by column."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from shared.attributes import Attribute
from shared.geometry.grid import GraphGeometry
from shared.store.protocol import CachedCells
from shared.telemetry.log import event, get_logger
from shared.types import BoolArray, UInt64Array

_IDS_AT_ONCE = 10_000
_logger = get_logger("lookup")


def encode_answer(
    l2_ids: UInt64Array,
    cells: CachedCells,
    attributes: Sequence[Attribute],
    geometry: GraphGeometry,
    *,
    int64_as_str: bool = False,
) -> bytes:
    """The JSON object of a look-up: per id an object of its attributes, `{}` for an id without a row.

    Values are written by orjson a column at a time and joined to rows as bytes, which takes a third less than writing
    rows. Floats are exact; what is no number in JSON (nan, infinities) becomes null. Of many ids a part at a time is
    written, as the lists of a part take several times as much memory as its JSON.

    Args:
      l2_ids: uint64[n], ascending and distinct: one key each, in this order.
      cells: the rows found for some of them.
      attributes: columns of `cells`, in the order of the answer.
      geometry: of the graph; makes nm out of voxels.
      int64_as_str: whether attributes of 64-bit integers, which is `size_nm3`, are written as text.
    """
    parts = []
    for start in range(0, len(l2_ids), _IDS_AT_ONCE):
        ids = l2_ids[start : start + _IDS_AT_ONCE]
        first = int(np.searchsorted(cells.l2_ids, ids[0], "left"))
        part = _between(cells, first, int(np.searchsorted(cells.l2_ids, ids[-1], "right")))
        parts.append(_part(ids, part, attributes, geometry, int64_as_str=int64_as_str))
    return b"{" + b",".join(parts) + b"}"


def _part(
    l2_ids: UInt64Array,
    cells: CachedCells,
    attributes: Sequence[Attribute],
    geometry: GraphGeometry,
    *,
    int64_as_str: bool,
) -> bytes:
    """The members of some ids, as `encode_answer`."""
    columns = [_members(a, cells, geometry, as_text=int64_as_str and a.needs_64_bits) for a in attributes]
    rows = [b",".join(filter(None, row)) for row in zip(*columns, strict=True)]
    if len(rows) < len(l2_ids):
        rows = _spread(rows, np.searchsorted(l2_ids, cells.l2_ids), len(l2_ids))
    return b",".join([b'"%d":{%b}' % pair for pair in zip(l2_ids.tolist(), rows, strict=True)])


def _between(cells: CachedCells, start: int, stop: int) -> CachedCells:
    """Rows of consecutive places."""
    if (start, stop) == (0, len(cells.l2_ids)):
        return cells
    return CachedCells(cells.l2_ids[start:stop], {name: column[start:stop] for name, column in cells.columns.items()})


def decode_column(attribute: Attribute, cells: Sequence[bytes]) -> tuple[BoolArray, npt.NDArray[Any]]:
    """The values in a column's cells.

    Returns:
      bool[n], whether a cell has a value; and the m values there are, [m, *attribute.shape]. A longer cell is read
      from its start (the zero of a node without voxels has eight bytes); a shorter one counts as empty and is logged.
    """
    n_bytes = attribute.n_bytes
    if set(map(len, cells)) == {n_bytes}:  # nearly always; telling which have a value takes longer than reading them
        values = np.frombuffer(b"".join(cells), dtype=attribute.dtype)
        return np.ones(len(cells), dtype=np.bool_), values.reshape(-1, *attribute.shape)
    lengths = np.fromiter(map(len, cells), dtype=np.int64, count=len(cells))
    there = lengths >= n_bytes
    n_short = int(np.count_nonzero(~there & (lengths > 0)))
    if n_short:
        event(_logger, logging.ERROR, "cells are too short", attribute=attribute.name, cells=n_short)
    # Empty cells add nothing to the join below; others of an odd length are rare.
    if ((lengths != n_bytes) & (lengths > 0)).any():
        cells = [cell[:n_bytes] for cell, has_value in zip(cells, there.tolist(), strict=True) if has_value]
    values = np.frombuffer(b"".join(cells), dtype=attribute.dtype)
    return there, values.reshape(-1, *attribute.shape)


def _members(attribute: Attribute, cells: CachedCells, geometry: GraphGeometry, *, as_text: bool) -> list[bytes]:
    """The column as members of JSON objects, `"name":value`; b"" where there is no value."""
    there, values = decode_column(attribute, cells.columns[attribute.name])
    if not len(values):
        return [b""] * len(there)
    are_all = len(values) == len(there)
    l2_ids = cells.l2_ids if are_all else cells.l2_ids[there]
    written = _write_members(attribute, attribute.answer(values, l2_ids, geometry), as_text=as_text)
    return written if are_all else _spread(written, np.flatnonzero(there), len(there))


def _write_members(attribute: Attribute, values: npt.NDArray[Any], *, as_text: bool) -> list[bytes]:
    depth = len(attribute.shape)
    opening, closing, quote = b"[" * depth, b"]" * depth, b'"' if as_text else b""
    column = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    entries = column[1 + depth : -1 - depth].split(closing + b"," + opening)
    start, stop = b'"%b":%b%b' % (attribute.name.encode(), quote, opening), closing + quote
    return [start + entry + stop for entry in entries]


def _spread(entries: Sequence[bytes], places: npt.NDArray[np.intp], length: int) -> list[bytes]:
    """A list of `length` with `entries` at `places`, b"" elsewhere."""
    spread = [b""] * length
    for place, entry in zip(places.tolist(), entries, strict=True):
        spread[place] = entry
    return spread
