"""The columns of attributes in tables for clients, named as CAVEclient's `get_l2data_table` names them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from shared.attributes import Attribute
from shared.geometry.grid import GraphGeometry
from shared.table.column import Column, flattened
from shared.types import BoolArray, UInt64Array

_ARRAYS_IN_ORDER = ("rep_coord_nm", "pca", "pca_val", "chunk_intersect_count")
"""CAVEclient puts single numbers first, and then the numbers of these."""


def in_table_order(attributes: Iterable[Attribute]) -> list[Attribute]:
    """Attributes in the order of their columns."""
    return sorted(attributes, key=_place)


def attribute_columns(
    attribute: Attribute, stored: npt.NDArray[Any], l2_ids: UInt64Array, there: BoolArray, geometry: GraphGeometry
) -> list[Column]:
    """The columns of an attribute's numbers, as clients get them.

    Args:
      attribute: the attribute.
      stored: its values [m, *shape] of those rows that have one, as they are stored.
      l2_ids: uint64[m], the nodes of these rows.
      there: bool[n], which rows of the table these are.
      geometry: of the graph; makes nm out of voxels.
    """
    answered = attribute.answer(stored, l2_ids, geometry)
    return flattened(attribute.column_names, answered, there, attribute.unit, attribute.meaning)


def _place(attribute: Attribute) -> tuple[bool, int, str]:
    known = attribute.name in _ARRAYS_IN_ORDER
    number = _ARRAYS_IN_ORDER.index(attribute.name) if known else len(_ARRAYS_IN_ORDER)
    return bool(attribute.shape), number, attribute.name
