"""`Features` as a value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from shared.features.api import chunk_features
from shared.features.result import Features
from tests.support.features.agreement import differing_columns


@pytest.fixture
def features() -> Features:
    labels = np.random.default_rng(0).integers(0, 7, (12, 11, 10), dtype=np.uint32)
    return chunk_features(labels, (100, 100, 100))


def test_parts_in_any_order_concatenate_to_the_whole(features: Features) -> None:
    odd = features.node_ids % np.uint64(2) == 1
    parts = [features.take(odd), Features.empty(), features.take(~odd)]
    assert differing_columns(Features.concatenate(parts), features) == []
    assert len(Features.concatenate([])) == 0


def test_a_node_in_two_parts_is_refused(features: Features) -> None:
    with pytest.raises(ValueError, match="ascend"):
        Features.concatenate([features, features])


def test_selected_nodes_keep_their_order_and_absent_ones_are_left_out(features: Features) -> None:
    some = features.select(np.array([5, 99, 2], np.uint64))
    assert some.node_ids.tolist() == [2, 5]
    assert some.size_nm3.tolist() == features.size_nm3[[1, 4]].tolist()


def test_columns_of_another_type_or_length_are_refused(features: Features) -> None:
    with pytest.raises(ValueError, match="area_nm2"):
        dataclasses.replace(features, area_nm2=features.area_nm2.astype(np.int64))
    with pytest.raises(ValueError, match="pca_val"):
        dataclasses.replace(features, pca_val=features.pca_val[:-1])
