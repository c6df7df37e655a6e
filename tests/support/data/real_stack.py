"""The real data set in a running stack, and what it takes for its rows to be PCGL2Cache's."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import requests

from infra.local.stack import LocalStack, ServedGraph
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import chunk_coordinates
from shared.types import Triple, UInt64Array
from shared.volume.cloudvolume import CloudVolumeReader
from tests.support import oracle
from tests.support.data.recorded_rows import Row, assert_same_row
from tests.support.stack.client import answer, rows

GRAPH, TABLE = "rig_graph", "l2cache_rig_graph_v1"
N_ROWS, N_CHUNKS = 12_174, 128


def graph_dump(data: Path) -> Path:
    """The graph's table as it is after the merge, with all that was before."""
    return data / "tables" / "graph_after_merge.ndjson.gz"


def served_graph(data: Path) -> ServedGraph:
    """The stand-in graph server over it."""
    files = ("--dump", str(graph_dump(data)), "--info", str(data / "graphene_info.json"))
    return ServedGraph(GRAPH, (*files, "--watershed", str(data / "watershed")))


def stored(stack: LocalStack, l2_ids: Iterable[int]) -> dict[int, Row]:
    """Our rows of these ids, without empty cells."""
    found = rows(stack.services.store, TABLE, np.array(sorted(l2_ids), dtype=np.uint64))
    return {l2_id: {name: cell for name, cell in row.items() if cell} for l2_id, row in found.items()}


def assert_same_but_for_ties(stack: LocalStack, ours: dict[int, Row], theirs: dict[int, Row]) -> None:
    """Checks rows against PCGL2Cache's, which chooses among equally good representative voxels by chance.

    Every other choice of ours must be exactly as good, and the first of those that are.
    """
    assert ours.keys() == theirs.keys()
    different = []
    for l2_id, row in ours.items():
        assert_same_row(row, theirs[l2_id], ties=True)
        if row["rep_coord_nm"] != theirs[l2_id]["rep_coord_nm"]:
            different.append(l2_id)
    weights_of = _Weights(stack)
    for l2_id in different:
        positions = [_voxel(row["rep_coord_nm"]) for row in (ours[l2_id], theirs[l2_id])]
        mine, other = weights_of(l2_id, positions)
        assert mine == other, (l2_id, positions)
        assert positions[0] < positions[1], "of equally good voxels the first counts"


class _Weights:
    """How good voxels are as representatives of a node, by the oracle."""

    def __init__(self, stack: LocalStack) -> None:
        self._graph = f"{stack.graph_url}/segmentation"
        info = answer(requests.get(f"{self._graph}/table/{GRAPH}/info", timeout=60))
        self._geometry = GraphGeometry.from_info(info)
        self._chunk = cache(CloudVolumeReader(self._geometry).read_chunk)

    def __call__(self, l2_id: int, positions: list[Triple]) -> list[float]:
        """The weights of these voxels of a node."""
        resolution_nm = self._geometry.resolution_nm
        url = f"{self._graph}/api/v1/table/{GRAPH}/node/{l2_id}/leaves"
        supervoxels: UInt64Array = np.array(answer(requests.get(url, timeout=60))["leaf_ids"], dtype=np.uint64)
        x, y, z = chunk_coordinates(np.array([l2_id], dtype=np.uint64), self._geometry.layout)[0].tolist()
        mask = np.isin(self._chunk((x, y, z)), supervoxels)
        voxels = np.argwhere(mask)
        distances_nm = oracle.whole_distance_nm(mask.astype(np.uint8), resolution_nm)[mask]
        weights = dict(zip(map(tuple, voxels), oracle.weights(voxels, distances_nm, resolution_nm), strict=True))
        return [weights[position] for position in positions]


def _voxel(cell: bytes) -> Triple:
    x, y, z = np.frombuffer(cell, "<u2").tolist()
    return x, y, z
