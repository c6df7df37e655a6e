from datetime import UTC, datetime

import pytest

from shared.errors import BadRequestError
from shared.geometry.grid import Box, GraphGeometry
from shared.ingest.control.request import StartRequest

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
GEOMETRY = GraphGeometry.from_info(
    {
        "data_dir": "gs://bucket/ws",
        "graph": {"chunk_size": [128, 128, 64], "spatial_bit_masks": {"1": 10, "2": 10}},
        "scales": [{"resolution": [16, 16, 40], "size": [480, 496, 464], "voxel_offset": [1100, 2030, 305]}],
    }
)


def block(**fields: object) -> Box:
    return StartRequest.from_document({"dataset": "d", **fields}, NOW).block(GEOMETRY)


def test_without_a_box_the_whole_grid_is_asked_for() -> None:
    assert block() == Box((0, 0, 0), (4, 4, 8))


def test_a_box_in_voxels_takes_every_chunk_it_touches() -> None:
    assert block(bounding_box=[[1227, 2030, 305], [1229, 2031, 306]]) == Box((0, 0, 0), (2, 1, 1))


def test_a_box_in_nm_is_the_same_box() -> None:
    corners = [[1227 * 16, 2030 * 16, 305 * 40], [1229 * 16, 2031 * 16, 306 * 40]]
    assert block(bounding_box=corners, unit="nm") == Box((0, 0, 0), (2, 1, 1))


def test_a_box_that_reaches_beyond_the_volume_is_cut() -> None:
    assert block(bounding_box=[[0, 0, 0], [1101, 99999, 306]]) == Box((0, 0, 0), (1, 4, 1))


def test_a_test_run_takes_the_eight_chunks_around_the_middle() -> None:
    assert block(test=True) == Box((1, 1, 3), (3, 3, 5))


def test_a_test_run_of_a_box_of_one_chunk_takes_that_chunk() -> None:
    assert block(test=True, bounding_box=[[1100, 2030, 305], [1101, 2031, 306]]) == Box((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-06-01 00:00:00", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-06-01T02:00:00+02:00", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-06-01T00:00:00.999Z", datetime(2026, 6, 1, tzinfo=UTC)),
    ],
)
def test_timestamps_are_utc_and_whole_seconds(text: str, moment: datetime) -> None:
    assert StartRequest.from_document({"dataset": "d", "timestamp": text}, NOW).timestamp == moment


def test_without_a_timestamp_the_present_is_taken() -> None:
    assert StartRequest.from_document({"dataset": "d"}, NOW).timestamp == datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (None, "JSON object"),
        ([], "JSON object"),
        ({}, "dataset"),
        ({"dataset": 5}, "dataset"),
        ({"dataset": "d", "colour": 1}, "colour"),
        ({"dataset": "d", "timestamp": "soon"}, "soon"),
        ({"dataset": "d", "timestamp": 5}, "timestamp"),
        ({"dataset": "d", "timestamp": "2999-01-01 00:00:00"}, "future"),
        ({"dataset": "d", "test": "yes"}, "test"),
        ({"dataset": "d", "unit": "miles"}, "miles"),
        ({"dataset": "d", "bounding_box": [1, 2, 3]}, "bounding_box"),
        ({"dataset": "d", "bounding_box": [[1, 2, 3], [4, 5]]}, "bounding_box"),
        ({"dataset": "d", "bounding_box": [[1, 2, 3], [4, 5, "x"]]}, "bounding_box"),
        ({"dataset": "d", "bounding_box": [[1, 2, 3], [4, 5, float("nan")]]}, "finite"),
        ({"dataset": "d", "bounding_box": [[1, 2, 3], [4, 5, 10**400]]}, "finite"),
        ({"dataset": "d", "bounding_box": [[-(10**400), 2, 3], [4, 5, 6]]}, "finite"),
        ({"dataset": "d", "bounding_box": [[1, 2, 3], [4, 5, 3]]}, "empty"),
    ],
)
def test_a_wrong_request_is_refused_and_the_wrong_thing_named(document: object, named: str) -> None:
    with pytest.raises(BadRequestError, match=named):
        StartRequest.from_document(document, NOW)


def test_a_box_beside_the_volume_is_refused() -> None:
    with pytest.raises(BadRequestError, match="outside the volume"):
        block(bounding_box=[[0, 0, 0], [1100, 2030, 305]])
