"""The engine against the oracle, and what must not make a difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.features.api import chunk_features
from shared.features.distance import LONGEST_SEARCH
from shared.features.result import Features
from tests.support.features.agreement import differing_columns, disagreements
from tests.support.features.volumes import LAYOUTS, resolutions_nm, volume, volumes

Labels = npt.NDArray[Any]


@settings(max_examples=200, deadline=None)
@given(volumes(), resolutions_nm)
def test_every_attribute_is_that_of_the_oracle(labels: Labels, resolution_nm: tuple[float, float, float]) -> None:
    assert disagreements(chunk_features(labels, resolution_nm), labels, resolution_nm) == []


@pytest.mark.parametrize("index", range(150))
def test_volumes_of_every_kind_agree_with_the_oracle(index: int) -> None:
    labels, resolution_nm = volume(2026, index)
    assert disagreements(chunk_features(labels, resolution_nm), labels, resolution_nm) == []


@settings(max_examples=50, deadline=None)
@given(volumes(), resolutions_nm, st.data())
def test_wanted_nodes_are_as_in_the_whole_chunk(
    labels: Labels, resolution_nm: tuple[float, float, float], data: st.DataObject
) -> None:
    whole = chunk_features(labels, resolution_nm)
    candidates = [0, 5, 2**63 + 12345, *whole.node_ids.tolist()]
    wanted = data.draw(st.lists(st.sampled_from(candidates), max_size=6))
    part = chunk_features(labels, resolution_nm, node_ids=wanted)
    assert differing_columns(part, whole.select(np.array(wanted, np.uint64))) == []


@settings(max_examples=50, deadline=None)
@given(volumes(), resolutions_nm, st.integers(2, 5))
def test_threads_change_nothing(labels: Labels, resolution_nm: tuple[float, float, float], threads: int) -> None:
    one = chunk_features(labels, resolution_nm)
    assert differing_columns(chunk_features(labels, resolution_nm, threads=threads), one) == []


@settings(max_examples=50, deadline=None)
@given(volumes(), resolutions_nm)
def test_memory_order_and_dtype_change_nothing(labels: Labels, resolution_nm: tuple[float, float, float]) -> None:
    expected = chunk_features(labels, resolution_nm)
    for layout in LAYOUTS:
        assert differing_columns(chunk_features(layout(labels), resolution_nm), expected) == []
    widened = labels.astype(np.uint64)
    assert differing_columns(chunk_features(widened, resolution_nm), expected) == []


@pytest.mark.parametrize("shape", [(1, 1, 300), (1, 300, 1), (300, 1, 1), (1, 40, 50), (40, 1, 50), (40, 50, 1)])
@pytest.mark.parametrize("resolution_nm", [(16, 16, 40), (7.5, 8.25, 33.3), (333, 2999, 3001)])
def test_chunks_one_voxel_thick(shape: tuple[int, int, int], resolution_nm: tuple[float, float, float]) -> None:
    labels = np.random.default_rng(1).integers(0, 3, shape, dtype=np.uint32)
    labels[labels.shape[0] // 2 :, labels.shape[1] // 2 :, labels.shape[2] // 2 :] = 9
    assert disagreements(chunk_features(labels, resolution_nm), labels, resolution_nm) == []


@pytest.mark.parametrize("resolution_nm", [(16, 16, 40), (4.3, 4.3, 45), (1, 1, 33)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_distances_across_a_whole_chunk(axis: int, resolution_nm: tuple[float, float, float]) -> None:
    """Longer than the search goes, so that the envelope takes over."""
    shape = [20, 20, 20]
    shape[axis] = 2 * LONGEST_SEARCH + 100
    labels = np.ones(shape, np.uint32, order="F")
    labels[0, 0, 0] = 0
    labels[-1, 10, -1] = 2
    assert disagreements(chunk_features(labels, resolution_nm), labels, resolution_nm) == []


@pytest.mark.parametrize("resolution_nm", [(16, 16, 40), (7.5, 8.25, 33.3), (1000, 900, 800), (17_000, 17_000, 17_000)])
@pytest.mark.parametrize("shape", [(60, 50, 70), (1, 400, 500), (400, 1, 500), (300, 700, 1)])
def test_noise_of_more_labels_than_tissue_can_have(
    shape: tuple[int, int, int], resolution_nm: tuple[float, float, float]
) -> None:
    """Such chunks go another way, chosen nodes of them do not."""
    labels = np.random.default_rng(2).integers(0, 400_000, shape, dtype=np.uint64) << np.uint64(20)
    labels[-1, -20:, -30:] = 77
    features = chunk_features(labels, resolution_nm, threads=2)
    assert differing_columns(features, chunk_features(labels, resolution_nm, node_ids=features.node_ids)) == []
    some = [77, *features.node_ids[::20_000].tolist()]
    rows = features.select(np.array(some, np.uint64))
    assert disagreements(rows, labels, resolution_nm, some) == []


def test_every_voxel_another_label() -> None:
    labels = np.random.default_rng(2).permutation(70_000).astype(np.uint32).reshape(50, 40, 35)
    features = chunk_features(labels, (16, 16, 40))
    assert features.node_ids.tolist() == list(range(1, 70_000))
    some = features.node_ids[::5000].tolist()
    assert disagreements(features.select(np.array(some, np.uint64)), labels, (16, 16, 40), some) == []


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4), (0, 0, 0)])
def test_a_chunk_without_voxels_has_no_nodes(shape: tuple[int, int, int]) -> None:
    assert differing_columns(chunk_features(np.zeros(shape, np.uint32), (16, 16, 40)), Features.empty()) == []


@pytest.mark.parametrize(
    ("labels", "resolution_nm", "threads", "named"),
    [
        (np.ones((2, 2), np.uint32), (16, 16, 40), 1, r"\(2, 2\)"),
        (np.ones((2, 2, 2), np.float32), (16, 16, 40), 1, "float32"),
        (np.ones((2, 2, 2), np.int64), (16, 16, 40), 1, "int64"),
        (np.ones((70_000, 1, 1), np.uint8), (16, 16, 40), 1, "65535"),
        (np.ones((2, 2, 2), np.uint32), (16, 16), 1, r"\(16, 16\)"),
        (np.ones((2, 2, 2), np.uint32), (16, 0, 40), 1, "0"),
        (np.ones((2, 2, 2), np.uint32), (16, float("nan"), 40), 1, "nan"),
        (np.ones((2, 2, 2), np.uint32), (16, 16, 40), 0, "threads"),
    ],
)
def test_bad_input_is_named(labels: Labels, resolution_nm: tuple[float, ...], threads: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        chunk_features(labels, resolution_nm, threads=threads)
