"""The columns of totals: a row per root, named as the columns of nodes are."""

from __future__ import annotations

import numpy as np

from shared.lookup.totals_answer import FIELDS, LARGEST_UINT64, Totals
from shared.table.column import Column, flattened
from shared.types import BoolArray

_COUNTS = ("n_l2", "n_cached", "n_empty")
_TOO_LARGE = "size_nm3 does not fit into 64 bits: it is in the JSON answer"


def root_columns(totals: Totals) -> list[Column]:
    """The table of totals, ascending by root; arrays are flattened.

    Args:
      totals: what there is to tell.

    Returns:
      `root_id` and the keys of the JSON. A root with an error has that only. A volume beyond 64 bits, which no column
      has room for, is left out, and `error` says so.
    """
    roots = np.union1d(totals.root_ids, np.array(list(totals.errors), dtype=np.uint64))
    known = np.isin(roots, totals.root_ids)
    has_nodes = totals.totals["n_cached"] > 0
    measured = known.copy()
    measured[known] = has_nodes
    of_cached = totals.totals[has_nodes]
    size, fits = _size_column(totals, known)
    return [
        Column("root_id", roots, meaning="id of the root"),
        *(Column(name, np.ascontiguousarray(totals.totals[name]), known, meaning=FIELDS[name]) for name in _COUNTS),
        Column("n_missing", totals.n_missing.astype(np.uint32), known, meaning=FIELDS["n_missing"]),
        Column("complete", totals.complete, known, meaning=FIELDS["complete"]),
        size,
        Column("area_nm2", np.ascontiguousarray(totals.totals["area_nm2"]), known, "nm2", FIELDS["area_nm2"]),
        Column("max_dt_nm", np.ascontiguousarray(of_cached["max_dt_nm"]), measured, "nm", FIELDS["max_dt_nm"]),
        *flattened(
            tuple(f"bounds_nm_{axis}_{end}" for end in ("min", "max") for axis in "xyz"),
            of_cached["bounds_nm"],
            measured,
            "nm",
            FIELDS["bounds_nm"],
        ),
        *flattened(
            tuple(f"rep_coord_nm_{axis}" for axis in "xyz"),
            of_cached["rep_coord_nm"],
            measured,
            "nm",
            FIELDS["rep_coord_nm"],
        ),
        Column("rep_l2_id", np.ascontiguousarray(of_cached["rep_l2_id"]), measured, meaning=FIELDS["rep_l2_id"]),
        _error_column(totals, roots.tolist(), fits),
    ]


def _size_column(totals: Totals, known: BoolArray) -> tuple[Column, BoolArray]:
    """The volumes that a column has room for, and of which known roots these are."""
    volumes = totals.size_nm3
    if isinstance(totals.voxel_nm3, float):
        fits = np.ones(len(volumes), dtype=np.bool_)
        values = np.array(volumes, dtype=np.float64)
    else:
        fits = np.array([volume <= LARGEST_UINT64 for volume in volumes], dtype=np.bool_)
        values = np.array([volume for volume in volumes if volume <= LARGEST_UINT64], dtype=np.uint64)
    there = known.copy()
    there[known] = fits
    return Column("size_nm3", values, there, "nm3", FIELDS["size_nm3"]), fits


def _error_column(totals: Totals, roots: list[int], fits: BoolArray) -> Column:
    errors = dict(totals.errors) | dict.fromkeys(totals.root_ids[~fits].tolist(), _TOO_LARGE)
    texts = np.array([errors[root] for root in roots if root in errors], dtype=object)
    there = np.array([root in errors for root in roots], dtype=np.bool_)
    return Column("error", texts, there, meaning=FIELDS["error"])
