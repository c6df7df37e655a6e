"""Whether the engine's `Features` say what the oracle says, in the form in which attributes are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.features.result import Features
from tests.support.oracle import NodeFeatures, oracle_features


def disagreements(
    features: Features,
    labels: npt.NDArray[Any],
    resolution_nm: Sequence[float],
    node_ids: Sequence[int] | None = None,
) -> list[str]:
    """What differs from the oracle, in words; all of `node_ids`, or of the chunk, must be there."""
    nodes = oracle_features(labels, resolution_nm, node_ids)
    if features.node_ids.tolist() != sorted(nodes):
        return [f"nodes {features.node_ids.tolist()} instead of {sorted(nodes)}"]
    found = []
    for row, node_id in enumerate(sorted(nodes)):
        found += [f"node {node_id}: {what}" for what in _of_row(features, row, nodes[node_id])]
    return found


def _of_row(features: Features, row: int, node: NodeFeatures) -> list[str]:
    expected = {
        "size_nm3": np.uint32(min(node.size_voxels, 2**32 - 1)),
        "area_nm2": np.uint32(min(int(node.area_nm2), 2**32 - 1)),
        "max_dt_nm": np.uint16(min(node.max_dt_nm, 65535)),
        "mean_dt_nm": np.float16(min(node.mean_dt_nm, 65504)),
        "rep_coord_nm": np.array(node.rep_coord),
        "chunk_intersect_count": np.minimum(node.chunk_intersect_count, 65535),
        "has_pca": node.pca is not None,
    }
    found = [
        f"{name} {getattr(features, name)[row]} instead of {value}"
        for name, value in expected.items()
        if not np.array_equal(getattr(features, name)[row], value)
    ]
    return found + _of_pca(features.pca[row].astype(float), features.pca_val[row], node)


def _of_pca(axes: npt.NDArray[np.float64], values: npt.NDArray[np.float32], node: NodeFeatures) -> list[str]:
    if node.pca is None:
        return ["pca of a node that has none"] if axes.any() or values.any() else []
    components, singular = node.pca
    found = []
    if not np.allclose(values, singular, rtol=1e-5, atol=1e-5 * singular[0]):
        found.append(f"pca_val {values} instead of {singular}")
    if not np.allclose(axes @ axes.T, np.eye(3), atol=4e-3):
        found.append(f"pca {axes} is not orthonormal")
    for i in range(3):
        gaps = [abs(singular[i] ** 2 - singular[j] ** 2) for j in range(3) if j != i]
        if min(gaps) < 1e-3 * singular[0] ** 2:
            continue  # equal variances: any direction among them
        largest, second = np.sort(np.abs(components[i]))[:0:-1]
        same = np.allclose(axes[i], components[i], atol=2e-3)
        if not same and not (largest - second < 1e-3 and np.allclose(axes[i], -components[i], atol=2e-3)):
            found.append(f"axis {i} {axes[i]} instead of {components[i]}")
    return found


def differing_columns(a: Features, b: Features) -> list[str]:
    """Columns that are not the same bytes."""
    return [
        field.name
        for field in dataclasses.fields(Features)
        if getattr(a, field.name).tobytes() != getattr(b, field.name).tobytes()
    ]
