"""From supervoxels and a mapping to the features of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.features.api import chunk_features, supervoxel_features, supervoxel_runs
from shared.features.result import Features
from tests.support.features.agreement import differing_columns
from tests.support.features.volumes import volumes

RESOLUTION_NM = (16, 16, 40)


@settings(max_examples=60, deadline=None)
@given(volumes(), st.integers(0, 2**32), st.integers(1, 3))
def test_features_are_those_of_the_volume_with_nodes_in_the_place_of_supervoxels(
    supervoxels: npt.NDArray[Any], seed: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    present = np.unique(supervoxels)
    ids = np.unique(np.append(present[rng.random(len(present)) < 0.8], [3, 77])).astype(np.uint64)
    ids = ids[ids != 0]
    nodes = rng.integers(0, 4, len(ids)).astype(np.uint64) << np.uint64(40)
    mapping = dict(zip(ids.tolist(), nodes.tolist(), strict=True))
    mapped = [mapping.get(supervoxel, 0) for supervoxel in supervoxels.ravel().tolist()]
    labels = np.array(mapped, np.uint64).reshape(supervoxels.shape)
    expected = chunk_features(labels, RESOLUTION_NM)
    direct = supervoxel_features(supervoxels, ids, nodes, RESOLUTION_NM, threads)
    assert differing_columns(direct, expected) == []
    runs = supervoxel_runs(supervoxels, threads)
    assert runs.labels().tolist() == present[present != 0].tolist()
    assert differing_columns(supervoxel_features(runs, ids, nodes, RESOLUTION_NM), expected) == []


def test_one_pass_over_the_supervoxels_serves_several_mappings() -> None:
    supervoxels = np.arange(1, 61, dtype=np.uint64).reshape(3, 4, 5)
    runs = supervoxel_runs(supervoxels)
    ids = runs.labels()
    first = supervoxel_features(runs, ids, ids % np.uint64(2) + np.uint64(1), RESOLUTION_NM)
    second = supervoxel_features(runs, ids[:10], np.full(10, 9, np.uint64), RESOLUTION_NM)
    assert first.size_nm3.tolist() == [30, 30]
    assert second.node_ids.tolist() == [9]
    assert second.size_nm3.tolist() == [10]


def test_without_mapping_there_are_no_nodes() -> None:
    nothing = np.zeros(0, np.uint64)
    features = supervoxel_features(np.ones((2, 2, 2), np.uint64), nothing, nothing, RESOLUTION_NM)
    assert differing_columns(features, Features.empty()) == []


@pytest.mark.parametrize(("ids", "nodes"), [([2, 1], [5, 5]), ([1, 1], [5, 6]), ([1, 2], [5])])
def test_a_mapping_that_is_none_is_refused(ids: list[int], nodes: list[int]) -> None:
    with pytest.raises(ValueError, match="supervoxel_ids"):
        supervoxel_features(
            np.ones((2, 2, 2), np.uint64), np.array(ids, np.uint64), np.array(nodes, np.uint64), RESOLUTION_NM
        )
