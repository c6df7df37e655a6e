"""A ninth attribute, as somebody would add it: one entry of the table, and its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.attributes import ATTRIBUTES, Attribute, Mask
from shared.features.stored import NodeMeasures
from shared.geometry.grid import GraphGeometry
from shared.types import BoolArray, UInt64Array


def box_voxels(nodes: NodeMeasures) -> npt.NDArray[np.int64]:
    """Edges of each node's bounding box in voxels: [n, 3], zeros for single voxels."""
    runs = nodes.runs()
    labels = runs.dense().ravel()
    low = np.full((len(runs.ids), 3), 2**16, np.int64)
    high = np.full((len(runs.ids), 3), -1, np.int64)
    for axis, place in zip(runs.axes, np.indices(runs.shape), strict=True):
        np.minimum.at(low[:, axis], labels, place.ravel())
        np.maximum.at(high[:, axis], labels, place.ravel())
    edges = (high - low + 1)[nodes.labels]
    return edges * (nodes.voxels > 1)[:, None]


def box_in_nm(values: npt.NDArray[Any], _l2_ids: UInt64Array, geometry: GraphGeometry) -> npt.NDArray[Any]:
    """Edges in nm."""
    return np.asarray(values * np.array(geometry.resolution_nm))


def has_box(nodes: NodeMeasures) -> BoolArray:
    """Nodes of more than one voxel."""
    return np.asarray(nodes.voxels > 1)


BOX = Attribute(
    name="box_nm",
    meaning="edges of the bounding box of a node of several voxels",
    dtype=np.dtype("<u2"),
    shape=(3,),
    unit="nm",
    answered=np.dtype(np.float64),
    compute=box_voxels,
    answer=box_in_nm,
    mask=Mask("has_box", has_box),
)
NINE = ATTRIBUTES.extended(BOX)
EIGHT_NAMES, NINE_NAMES = list(ATTRIBUTES.names), list(NINE.names)


def expected_box(voxels: npt.NDArray[np.bool_]) -> list[int]:
    """The edges of the box around the voxels, a node at a time."""
    return [] if np.count_nonzero(voxels) == 1 else [int(np.ptp(place)) + 1 for place in np.nonzero(voxels)]
