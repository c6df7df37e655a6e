"""Chunks of the real data set against the rows that PCGL2Cache wrote for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from infra.standin.graph.table import read_dump
from shared.features.api import supervoxel_features
from shared.features.result import Features
from shared.geometry.grid import GraphGeometry
from shared.volume.cloudvolume import Volumes
from tests.support.data.recorded_rows import SAMPLE_VOXELS, Row, recorded_rows
from tests.support.oracle import weights, whole_distance_nm

CHUNKS = [(1, 1, 3), (3, 0, 7), (0, 3, 0), (2, 2, 5)]  # within, and cut off at several borders
IDENTICAL = ("area_nm2", "max_dt_nm", "mean_dt_nm", "chunk_intersect_count")


@dataclass(frozen=True, eq=False)
class RealData:
    """The volume, each supervoxel's node before the edits, and the recorded rows."""

    geometry: GraphGeometry
    supervoxels: npt.NDArray[np.uint64]
    nodes: npt.NDArray[np.uint64]
    rows: dict[int, Row]

    def chunk(self, coordinate: tuple[int, int, int]) -> npt.NDArray[np.uint64]:
        """The chunk's supervoxels, uint64[x, y, z]."""
        return Volumes().get(self.geometry).read_chunk(coordinate)


def real_data(folder: Path) -> RealData:
    info = json.loads((folder / "graphene_info.json").read_text())
    info["data_dir"] = f"file://{folder / 'watershed'}"
    geometry = GraphGeometry.from_info(info)
    parents: dict[int, int] = {}
    for cell in read_dump(folder / "tables" / "graph_before_merge.ndjson.gz")[1]:
        if cell.qualifier == "parents" and cell.key.isdecimal() and int(cell.key) >> 56 == 1:
            parents[int(cell.key)] = int.from_bytes(cell.value, "little")
    supervoxels = np.array(sorted(parents), np.uint64)
    nodes = np.array([parents[int(supervoxel)] for supervoxel in supervoxels], np.uint64)
    return RealData(geometry, supervoxels, nodes, recorded_rows(folder / "tables" / "cache_ingested.ndjson.gz"))


def deviations(data: RealData, coordinate: tuple[int, int, int]) -> tuple[int, list[str]]:
    """How many nodes a chunk has, and what differs from their recorded rows."""
    resolution_nm = data.geometry.resolution_nm
    volume = data.chunk(coordinate)
    features = supervoxel_features(volume, data.supervoxels, data.nodes, resolution_nm)
    found = []
    for i, node_id in enumerate(features.node_ids.tolist()):
        row = data.rows.get(node_id)
        if row is None:
            found.append(f"{node_id} is not in the table")
            continue
        found += [f"{node_id}: {what}" for what in _of_row(features, i, row)]
        recorded = np.frombuffer(row["rep_coord_nm"], np.uint16)
        if not np.array_equal(recorded, features.rep_coord_nm[i]):
            mask = np.isin(volume, data.supervoxels[data.nodes == np.uint64(node_id)])
            if not _tied(mask, recorded, features.rep_coord_nm[i], resolution_nm):
                found.append(f"{node_id}: rep_coord_nm {features.rep_coord_nm[i]} instead of {recorded}")
    return len(features), found


def _of_row(features: Features, i: int, row: Row) -> list[str]:
    found = [name for name in IDENTICAL if getattr(features, name)[i].tobytes() != row[name]]
    if int.from_bytes(row["size_nm3"], "little") != features.size_nm3[i]:
        found.append("size_nm3")
    if bool(features.has_pca[i]) != ("pca" in row):
        found.append("has_pca")
    elif features.has_pca[i]:
        values, axes = np.frombuffer(row["pca_val"], np.float32), np.frombuffer(row["pca"], np.float16).reshape(3, 3)
        sampled = features.size_nm3[i] > SAMPLE_VOXELS
        if not np.allclose(features.pca_val[i], values, rtol=0.05 if sampled else 1e-3):
            found.append(f"pca_val {features.pca_val[i]} instead of {values}")
        found += [
            f"axis {axis} {features.pca[i, axis]} instead of {axes[axis]}"
            for axis in range(3)
            if _apart(values, axis) > (0.2 if sampled else 0.01)
            and np.abs(np.dot(features.pca[i, axis].astype(float), axes[axis].astype(float))) < 0.98
        ]
    return found


def _apart(values: npt.NDArray[np.float32], axis: int) -> float:
    """How far an axis' variance is from those of the others, relative to its own."""
    return min(abs(1 - (values[other] / values[axis]) ** 2) for other in range(3) if other != axis)


def _tied(
    mask: npt.NDArray[np.bool_],
    recorded: npt.NDArray[np.uint16],
    chosen: npt.NDArray[np.uint16],
    resolution_nm: tuple[float, float, float],
) -> bool:
    """Whether two voxels have exactly the same weight, and the chosen one is the first such."""
    coordinates = np.argwhere(mask)
    distances = whole_distance_nm(mask.astype(np.uint8), resolution_nm)[mask]
    best = weights(coordinates, distances, resolution_nm)
    tied = coordinates[best == best.max()]
    return np.array_equal(tied[0], chosen) and any(np.array_equal(voxel, recorded) for voxel in tied)


@pytest.fixture(scope="module")
def data(shared_data: Path) -> RealData:
    return real_data(shared_data)


@pytest.mark.parametrize("coordinate", CHUNKS)
def test_a_real_chunk_has_the_recorded_rows(data: RealData, coordinate: tuple[int, int, int]) -> None:
    nodes, found = deviations(data, coordinate)
    assert nodes > 10
    assert found == []
