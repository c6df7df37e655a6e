"""Totals of neurons as the JSON that clients read, and as what is remembered of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from shared.geometry.grid import GraphGeometry
from shared.lookup.totals import TOTAL
from shared.types import BoolArray, UInt64Array

_FORM = b"\x01"
FIELDS: Mapping[str, str] = {
    "n_l2": "L2 nodes, within the bounds if there are any",
    "n_cached": "those with a row",
    "n_empty": "those with the row of a node without voxels",
    "n_missing": "those without a whole row",
    "complete": "whether none is missing",
    "size_nm3": "volume of the cached ones",
    "area_nm2": "area of the cached ones",
    "max_dt_nm": "largest distance in the cached ones",
    "bounds_nm": "smallest and largest coordinates of the representative points",
    "rep_coord_nm": "representative point of the largest node",
    "rep_l2_id": "the largest node",
    "error": "why there is no total of this root",
}
"""What is told of a root, and what it means."""

LARGEST_UINT64 = (1 << 64) - 1
"""The largest integer that JSON's writer and columns have room for."""


@dataclass(frozen=True, eq=False)
class Totals:
    """What roots add up to.

    Attributes:
      root_ids: uint64[n], distinct, ascending: those without an error.
      totals: `TOTAL`[n], of each of them.
      errors: of the other roots that were asked for: why there is no total.
      geometry: of the graph; makes nm3 out of voxels.
    """

    root_ids: UInt64Array
    totals: npt.NDArray[np.void]
    errors: Mapping[int, str]
    geometry: GraphGeometry

    @property
    def n_missing(self) -> npt.NDArray[np.int64]:
        """How many nodes of each root have no row, whatever the reason: int64[n]."""
        known = self.totals["n_cached"].astype(np.int64) + self.totals["n_empty"]
        return np.asarray(self.totals["n_l2"] - known)

    @property
    def complete(self) -> BoolArray:
        """Of which roots nothing is missing: bool[n]."""
        return np.asarray(self.n_missing == 0)

    @property
    def voxel_nm3(self) -> int | float:
        """The volume of a voxel: an integer if it is a whole number."""
        volume_nm3 = self.geometry.voxel_nm3
        return int(volume_nm3) if volume_nm3.is_integer() else volume_nm3

    @property
    def size_nm3(self) -> list[int | float]:
        """Volumes: exact integers, of any length, if the volume of a voxel is one, else doubles."""
        factor = self.voxel_nm3
        return [voxels * factor for voxels in self.totals["voxels"].tolist()]


def encode_totals(totals: Totals, *, int64_as_str: bool = False) -> bytes:
    """The JSON object of totals: per root an object, ascending; null where there is no value.

    Args:
      totals: what there is to tell.
      int64_as_str: whether integers that may need 64 bits (`size_nm3`, `area_nm2`, `rep_l2_id`) are written as text.
    """
    answers = {str(root): answer for root, answer in _answers(totals, as_text=int64_as_str)}
    answers.update({str(root): dict.fromkeys(FIELDS) | {"error": why} for root, why in totals.errors.items()})
    return orjson.dumps({root: answers[root] for root in sorted(answers, key=int)})


def _answers(totals: Totals, *, as_text: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    columns = {name: totals.totals[name].tolist() for name in TOTAL.names or ()}
    per_root = zip(totals.root_ids.tolist(), totals.n_missing.tolist(), totals.size_nm3, *columns.values(), strict=True)
    for root, n_missing, size_nm3, n_l2, n_cached, n_empty, _, area_nm2, *measures in per_root:
        counts = (n_l2, n_cached, n_empty, n_missing, n_missing == 0)
        sums = [_number(number, as_text=as_text) for number in (size_nm3, area_nm2)]
        max_dt_nm, bounds_nm, rep_nm, rep_id = measures if n_cached else (None,) * 4
        rep = (rep_nm, None if rep_id is None else _number(rep_id, as_text=as_text))
        yield root, dict(zip(FIELDS, (*counts, *sums, max_dt_nm, bounds_nm, *rep, None), strict=True))


def _number(value: float, *, as_text: bool) -> Any:
    """A number for JSON; orjson itself writes no integer of more than 64 bits."""
    if as_text and isinstance(value, int):
        return str(value)
    return orjson.Fragment(str(value)) if value > LARGEST_UINT64 and isinstance(value, int) else value


def remembered_form(totals: Totals) -> dict[int, bytes]:
    """Of the complete totals, by root, what is to be remembered: a number for its form, then a `TOTAL`."""
    complete = totals.complete
    records = [_FORM + record.tobytes() for record in totals.totals[complete]]
    return dict(zip(totals.root_ids[complete].tolist(), records, strict=True))


def from_remembered(values: Mapping[int, bytes]) -> tuple[UInt64Array, npt.NDArray[np.void]]:
    """The inverse of `remembered_form`; values of another form are left out.

    Returns:
      uint64[n], the roots, ascending; and `TOTAL`[n].
    """
    length = len(_FORM) + TOTAL.itemsize
    usable = {root: value for root, value in sorted(values.items()) if value[:1] == _FORM and len(value) == length}
    records = b"".join(value[1:] for value in usable.values())
    return np.array(list(usable), dtype=np.uint64), np.frombuffer(records, dtype=TOTAL)
