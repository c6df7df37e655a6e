"""The columns of what was found: a row per id, named as CAVEclient's `get_l2data_table` names them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shared.attributes import Attribute
from shared.geometry.grid import GraphGeometry
from shared.lookup.answer import decode_column
from shared.lookup.found import STATE_NAMES
from shared.store.protocol import CachedCells
from shared.table.attribute_columns import attribute_columns, in_table_order
from shared.table.column import Column
from shared.types import UInt64Array


def node_columns(
    l2_ids: UInt64Array,
    states: npt.NDArray[np.uint8],
    cells: CachedCells,
    attributes: Sequence[Attribute],
    geometry: GraphGeometry,
) -> list[Column]:
    """The table of some ids: `l2_id`, `state`, single numbers, and then the numbers of arrays.

    Args:
      l2_ids: uint64[n], ascending and distinct: the rows.
      states: uint8[n], the `IdState` of each.
      cells: the cells found for some of them.
      attributes: columns of `cells`.
      geometry: of the graph; makes nm out of voxels.

    Returns:
      The columns. Names and types do not depend on what was found; a number is missing where the node has no value.
    """
    columns = [
        Column("l2_id", l2_ids, meaning="id of the L2 node"),
        Column("state", states, meaning="how the id stands", categories=STATE_NAMES),
    ]
    rows = np.searchsorted(l2_ids, cells.l2_ids)
    for attribute in in_table_order(attributes):
        has_value, stored = decode_column(attribute, cells.columns[attribute.name])
        there = np.zeros(len(l2_ids), dtype=np.bool_)
        there[rows[has_value]] = True
        columns += attribute_columns(attribute, stored, cells.l2_ids[has_value], there, geometry)
    return columns
