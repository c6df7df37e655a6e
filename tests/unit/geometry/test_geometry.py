import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError, OutsideVolumeError
from shared.geometry.grid import Box, GraphGeometry
from shared.geometry.ids import compose_ids

INFO = {
    "data_dir": "gs://bucket/ws",
    "graph": {"chunk_size": [128, 128, 64], "cv_mip": 0, "spatial_bit_masks": {"1": 10, "2": 10}},
    "scales": [{"resolution": [16, 16, 40], "size": [480, 496, 464], "voxel_offset": [1100, 2030, 305]}],
}
GEOMETRY = GraphGeometry.from_info(INFO)


def l2_id(x: int, y: int, z: int, segment: int = 1) -> int:
    return int(compose_ids(2, np.array([[x, y, z]]), np.array([segment], dtype=np.uint64), GEOMETRY.layout)[0])


def test_the_grid_counts_cut_off_chunks() -> None:
    assert GEOMETRY.grid_shape == (4, 4, 8)


def test_chunk_boxes_start_at_the_voxel_offset_and_keep_their_full_size_at_the_far_border() -> None:
    assert GEOMETRY.chunk_box((0, 0, 0)) == Box((1100, 2030, 305), (1228, 2158, 369))
    last = GEOMETRY.chunk_box((3, 3, 7))
    assert last.shape == (128, 128, 64)
    assert last.intersection(GEOMETRY.volume_box).shape == (96, 112, 16)


@pytest.mark.parametrize("coordinate", [(4, 0, 0), (0, -1, 0), (0, 0, 8)])
def test_a_chunk_outside_the_grid_has_no_box(coordinate: tuple[int, int, int]) -> None:
    with pytest.raises(OutsideVolumeError, match="outside the grid"):
        GEOMETRY.chunk_box(coordinate)


def test_ids_that_cannot_exist_are_recognised_without_a_request() -> None:
    ids = [l2_id(3, 3, 7), l2_id(4, 0, 0), l2_id(0, 0, 8), 0, 72057594037927937, 360287970189703429, 2**64 - 1]
    assert GEOMETRY.can_exist(np.array(ids, dtype=np.uint64)).tolist() == [True] + [False] * 6


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 7), st.integers(1, 5)), min_size=0, max_size=60
    )
)
def test_grouping_puts_each_id_once_into_its_chunk(parts: list[tuple[int, int, int, int]]) -> None:
    ids = [l2_id(*part) for part in parts]
    groups = GEOMETRY.group_by_chunk(np.array(ids, dtype=np.uint64))
    assert len({chunk for chunk, _ in groups}) == len(groups)
    found = {int(i): chunk for chunk, members in groups for i in members}
    assert found == {l2_id(*part): part[:3] for part in parts}
    assert [int(i) for _, members in groups for i in members] == sorted(set(ids))


@given(st.data())
def test_the_chunks_of_a_box_are_those_that_share_a_voxel_with_it(data: st.DataObject) -> None:
    spans = [
        sorted(data.draw(st.tuples(st.integers(o - 200, o + s + 200), st.integers(o - 200, o + s + 200))))
        for o, s in zip(GEOMETRY.voxel_offset, GEOMETRY.volume_size_voxels, strict=True)
    ]
    box = Box(*((spans[0][i], spans[1][i], spans[2][i]) for i in (0, 1)))
    inside = box.intersection(GEOMETRY.volume_box)
    expected = {
        (x, y, z)
        for x in range(4)
        for y in range(4)
        for z in range(8)
        if GEOMETRY.chunk_box((x, y, z)).intersection(inside).volume
    }
    found = GEOMETRY.chunks_of_box(box)
    axes = [range(a, b) for a, b in zip(found.start, found.stop, strict=True)]
    assert {(x, y, z) for x in axes[0] for y in axes[1] for z in axes[2]} == expected


def test_positions_add_chunk_and_volume_offsets() -> None:
    ids = np.array([l2_id(1, 2, 3)], dtype=np.uint64)
    position = GEOMETRY.voxel_positions(ids, np.array([[5, 6, 7]]))
    assert position.tolist() == [[1100 + 128 + 5, 2030 + 256 + 6, 305 + 192 + 7]]


@pytest.mark.parametrize(
    "change",
    [
        {"scales": []},
        {"graph": {**INFO["graph"], "chunk_size": [128, 128]}},
        {"graph": {**INFO["graph"], "chunk_size": [128, 0, 64]}},
        {"graph": {**INFO["graph"], "cv_mip": 3}},
        {"scales": [{"resolution": [16, 16, 0], "size": [1, 1, 1]}]},
    ],
)
def test_an_info_that_lacks_geometry_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        GraphGeometry.from_info({**json.loads(json.dumps(INFO)), **change})
