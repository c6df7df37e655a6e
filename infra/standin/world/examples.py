"""Good examples of a made world: large neurons, and places to merge and split."""

from __future__ import annotations

from typing import Any

import numpy as np

from infra.standin.world.chunked_graph import Layer
from infra.standin.world.parameters import WorldParameters
from infra.standin.world.supervoxels import Supervoxels
from shared.types import Int64Array, UInt64Array

EXAMPLES = 8


def examples(
    volume: UInt64Array, supervoxels: Supervoxels, layers: list[Layer], parameters: WorldParameters
) -> dict[str, Any]:
    """Examples in JSON's types.

    Returns:
      `roots`: roots with their number of L2 ids, most first. `merges` and `splits`: bodies of requests to the graph
      server, every one possible in the world as it was made; no two merges share a root.
    """
    l2_nodes, roots = layers[0].of_supervoxels, layers[-1].of_supervoxels
    nodes_of_root = np.bincount(np.unique(np.stack([roots, l2_nodes]), axis=1)[0])
    largest = np.argsort(-nodes_of_root, kind="stable")[:EXAMPLES]
    chosen_roots = [{"root_id": int(layers[-1].ids[r]), "l2_ids": int(nodes_of_root[r])} for r in largest]

    def point(place: int) -> list[int]:
        return _point(volume, supervoxels, place, parameters)

    splits = [
        {"sources": [point(one)], "sinks": [point(other)]}
        for one, other in (_ends(supervoxels, np.flatnonzero(roots == root)) for root in largest)
        if one != other
    ]
    merges = [[point(one), point(other)] for one, other in _contacts(supervoxels, roots, nodes_of_root)]
    return {"roots": chosen_roots, "merges": merges, "splits": splits}


def _contacts(supervoxels: Supervoxels, roots: Int64Array, nodes_of_root: Int64Array) -> list[tuple[int, int]]:
    """Touching supervoxels of different roots, those of the largest pairs of roots, no root twice.

    One half of them lie in one chunk, the other half in two, as long as there are some.
    """
    apart = roots[supervoxels.touching[:, 0]] != roots[supervoxels.touching[:, 1]]
    pairs, faces = supervoxels.touching[apart], supervoxels.faces[apart]
    crossing = (supervoxels.chunks[pairs[:, 0]] != supervoxels.chunks[pairs[:, 1]]).any(axis=1)
    smaller = nodes_of_root[roots[pairs]].min(axis=1)
    order = np.lexsort((-faces, -smaller))
    chosen: list[tuple[int, int]] = []
    used: set[int] = set()
    for wanted in [False, True] * (EXAMPLES // 2):
        for index in order[crossing[order] == wanted].tolist():
            one, other = pairs[index].tolist()
            if not used & {int(roots[one]), int(roots[other])}:
                chosen.append((one, other))
                used |= {int(roots[one]), int(roots[other])}
                break
    return chosen


def _ends(supervoxels: Supervoxels, members: Int64Array) -> tuple[int, int]:
    """First and last supervoxel of a neuron by chunk: far apart, so that a cut goes through its middle."""
    return int(members[0]), int(members[-1])


def _point(volume: UInt64Array, supervoxels: Supervoxels, place: int, parameters: WorldParameters) -> list[int]:
    """`[supervoxel, x, y, z]`, the position of one of its voxels in voxels."""
    low = supervoxels.chunks[place] * parameters.chunk_size_voxels
    box = tuple(slice(a, a + n) for a, n in zip(low.tolist(), parameters.chunk_size_voxels, strict=True))
    voxels = np.argwhere(volume[box] == supervoxels.ids[place])
    position = voxels[len(voxels) // 2] + low + parameters.voxel_offset
    return [int(supervoxels.ids[place]), *position.tolist()]
