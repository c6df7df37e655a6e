"""What `features.md` decides where PCGL2Cache is silent or wrong: ties, saturation, nothing to fit."""

from __future__ import annotations

import numpy as np
import pytest

from shared.features.api import chunk_features
from shared.features.result import Features


def only(features: Features) -> dict[str, object]:
    """The row of the only node, as plain values."""
    assert len(features) == 1
    names = ("size_nm3", "area_nm2", "max_dt_nm", "mean_dt_nm", "rep_coord_nm", "chunk_intersect_count", "has_pca")
    return {name: getattr(features, name)[0].tolist() for name in names}


def test_a_label_that_fills_the_chunk_has_distance_zero_and_no_surface() -> None:
    row = only(chunk_features(np.full((5, 6, 7), 9, np.uint64), (100, 100, 100)))
    assert row == {
        "size_nm3": 210,
        "area_nm2": 0,
        "max_dt_nm": 0,
        "mean_dt_nm": 0.0,
        "rep_coord_nm": [0, 0, 0],
        "chunk_intersect_count": [[42, 35, 30], [42, 35, 30]],
        "has_pca": True,
    }


def test_a_single_voxel_represents_itself() -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[4, 2, 3] = 1
    row = only(chunk_features(labels, (16, 17, 40)))
    assert row == {
        "size_nm3": 1,
        "area_nm2": 1 * 17 * 40 + 2 * 16 * 40 + 2 * 16 * 17,
        "max_dt_nm": 16,
        "mean_dt_nm": 16.0,
        "rep_coord_nm": [4, 2, 3],
        "chunk_intersect_count": [[0, 0, 0], [1, 0, 0]],
        "has_pca": False,
    }


def test_a_chunk_of_one_voxel() -> None:
    row = only(chunk_features(np.ones((1, 1, 1), np.uint16), (16, 16, 40)))
    assert row["max_dt_nm"] == 0
    assert row["chunk_intersect_count"] == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("voxels", "winner"),
    [
        ([(3, 1, 1), (1, 3, 1), (1, 1, 3)], (1, 1, 3)),
        ([(2, 4, 1), (2, 1, 4)], (2, 1, 4)),
        ([(2, 1, 4), (2, 1, 1)], (2, 1, 1)),
        ([(4, 1, 1), (1, 4, 4)], (1, 4, 4)),
    ],
)
def test_of_voxels_with_equal_weight_the_first_by_x_then_y_then_z_is_taken(
    voxels: list[tuple[int, int, int]], winner: tuple[int, int, int]
) -> None:
    labels = np.zeros((6, 6, 6), np.uint32)
    for voxel in voxels:
        labels[voxel] = 5
    assert only(chunk_features(labels, (1, 1, 1)))["rep_coord_nm"] == list(winner)


def test_a_tie_inside_an_object_is_broken_the_same_way() -> None:
    """Four voxels in the middle of a bar are equally deep and equally far from the centroid."""
    labels = np.zeros((10, 8, 8), np.uint32)
    labels[1:9, 1:7, 1:7] = 3
    assert only(chunk_features(labels, (16, 16, 16)))["rep_coord_nm"] == [4, 3, 3]


def test_distances_saturate() -> None:
    labels = np.zeros((9, 9, 9), np.uint32)
    labels[:, :, 1:] = 1
    row = only(chunk_features(labels, (17_000, 17_000, 17_000)))
    assert row["max_dt_nm"] == 65535
    assert row["mean_dt_nm"] == 65504.0
    assert row["rep_coord_nm"] == [4, 4, 6], "weights are taken from distances before they saturate"


def test_area_saturates() -> None:
    labels = np.zeros((9, 9, 9), np.uint32)
    labels[1:8, 1:8, 1:8] = 1
    assert only(chunk_features(labels, (9000, 9000, 9000)))["area_nm2"] == 2**32 - 1


def test_counts_on_the_chunks_faces_saturate() -> None:
    labels = np.ones((257, 256, 2), np.uint8)
    row = only(chunk_features(labels, (16, 16, 40)))
    assert row["chunk_intersect_count"] == [[512, 514, 65535], [512, 514, 65535]]


def test_principal_axes_from_the_exact_volume_on() -> None:
    """10 voxels of 100 nm are 1e7 nm3."""
    labels = np.zeros((12, 3, 4), np.uint32)
    labels[1:11, 1, 1] = 1
    labels[1:10, 1, 3] = 2
    features = chunk_features(labels, (100, 100, 100))
    assert features.has_pca.tolist() == [True, False]
    assert not features.pca[1].any()
    assert not features.pca_val[1].any()
    assert features.pca[0, 0].tolist() == [1, 0, 0]
    assert features.pca_val[0].tolist() == pytest.approx([100 * np.sqrt(82.5), 0, 0])


def test_two_voxels_have_no_principal_axes_however_large() -> None:
    labels = np.zeros((4, 3, 3), np.uint32)
    labels[1:3, 1, 1] = 1
    assert not chunk_features(labels, (5000, 5000, 5000)).has_pca.any()


def test_singular_values_of_large_nodes_are_those_of_a_sample_of_10_000() -> None:
    labels = np.zeros((40, 30, 20), np.uint32)
    labels[:, :20, :] = 1
    values = chunk_features(labels, (16, 16, 40)).pca_val[0]
    deviations = [np.sqrt((n**2 - 1) / 12) * size for n, size in ((20, 40), (40, 16), (20, 16))]
    assert values.tolist() == pytest.approx([100 * deviation for deviation in deviations], rel=1e-6)


def test_each_axis_points_where_its_largest_component_is_positive() -> None:
    labels = np.zeros((40, 40, 40), np.uint32)
    for step in range(38):
        labels[step, 38 - step, 1 + step // 3 : 3 + step // 3] = 1
    axis = chunk_features(labels, (100, 90, 40)).pca[0, 0]
    assert axis[np.abs(axis).argmax()] > 0
    assert axis[0] > 0.6
    assert axis[1] < -0.6


def test_sums_of_a_long_object_are_exact() -> None:
    """Second moments of 65,535 voxels, where float32 or careless sums would be off."""
    labels = np.zeros((65_535, 1, 2), np.uint8)
    labels[:, 0, 0] = 1
    features = chunk_features(labels, (1, 1, 400))
    n = 65_535
    assert features.pca_val[0, 0] == pytest.approx(np.sqrt(10_000 * (n**2 - 1) / 12), rel=1e-6)
    assert features.rep_coord_nm[0].tolist() == [32_767, 0, 0]
