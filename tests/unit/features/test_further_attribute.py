"""A ninth attribute through the engine: its entry and its kernel are all there is to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.attributes import Attribute
from shared.features.api import CROWDED_LABELS, chunk_features, supervoxel_features
from shared.features.result import Features
from tests.support.features.agreement import differing_columns
from tests.support.features.further import NINE, expected_box
from tests.support.features.volumes import volumes

RESOLUTION_NM = (16, 16, 40)


def check(features: Features, labels: npt.NDArray[Any], rows: list[int]) -> None:
    """Holds some rows' values against the voxels."""
    for row in rows:
        expected = expected_box(labels == features.node_ids[row])
        assert features.has_box[row] == bool(expected)
        assert features.box_nm[row].tolist() == (expected or [0, 0, 0])


@settings(max_examples=60, deadline=None)
@given(volumes(), st.integers(1, 3))
def test_the_engine_computes_it_beside_the_eight(labels: npt.NDArray[Any], threads: int) -> None:
    features = chunk_features(labels, RESOLUTION_NM, threads=threads, attributes=NINE)
    assert differing_columns(features, chunk_features(labels, RESOLUTION_NM)) == []
    check(features, labels, list(range(len(features))))


def test_it_is_computed_of_nodes_of_supervoxels() -> None:
    supervoxels = np.random.default_rng(0).integers(0, 9, (7, 6, 5), dtype=np.uint64)
    ids = np.arange(1, 9, dtype=np.uint64)
    features = supervoxel_features(supervoxels, ids, 2 + ids // 3, RESOLUTION_NM, attributes=NINE)
    nodes = np.where(supervoxels == 0, np.uint64(0), 2 + supervoxels // 3)
    assert features.node_ids.tolist() == [2, 3, 4]
    check(features, nodes, [0, 1, 2])


def test_it_is_computed_in_a_chunk_of_noise() -> None:
    labels = np.random.default_rng(0).integers(1, 4 * CROWDED_LABELS, (48, 48, 48), dtype=np.uint32)
    features = chunk_features(labels, RESOLUTION_NM, attributes=NINE)
    assert len(features) > CROWDED_LABELS
    assert differing_columns(features, chunk_features(labels, RESOLUTION_NM)) == []
    check(features, labels, list(range(0, len(features), len(features) // 40)))


def test_what_does_not_fit_is_stored_as_the_largest() -> None:
    wide = np.ones((2, 1, 1), np.uint32)
    byte = np.dtype("u1")
    thick = Attribute("depth_nm", "far too much", byte, (), "nm", byte, lambda nodes: nodes.voxels * 1000)
    features = chunk_features(wide, RESOLUTION_NM, attributes=NINE.extended(thick))
    assert features.depth_nm.tolist() == [255]


def test_features_of_nine_are_taken_apart_and_put_together() -> None:
    labels = np.random.default_rng(0).integers(0, 7, (12, 11, 10), dtype=np.uint32)
    features = chunk_features(labels, RESOLUTION_NM, attributes=NINE)
    odd = features.node_ids % np.uint64(2) == 1
    whole = Features.concatenate([features.take(odd), Features.empty(), features.take(~odd)])
    assert whole.table == NINE
    assert whole.box_nm.tolist() == features.box_nm.tolist()
    assert Features.empty(NINE).table == NINE
    with pytest.raises(ValueError, match="same attributes"):
        Features.concatenate([features.take(odd), chunk_features(labels, RESOLUTION_NM).take(~odd)])


def test_a_chunk_without_nodes_has_the_columns_too() -> None:
    features = chunk_features(np.zeros((3, 3, 3), np.uint32), RESOLUTION_NM, attributes=NINE)
    assert features.box_nm.shape == (0, 3)
