"""Which files hold a box."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.geometry.file_grid import FileGrid, file_name
from shared.geometry.grid import Box
from shared.types import Triple

places = st.tuples(*[st.integers(-20, 20)] * 3)
sizes = st.tuples(*[st.integers(1, 30)] * 3)


def box(start: Triple, size: Triple) -> Box:
    x, y, z = (low + extent for low, extent in zip(start, size, strict=True))
    return Box(start, (x, y, z))


@given(places, sizes, sizes, places, sizes)
def test_every_voxel_of_a_box_lies_in_the_file_that_is_named_or_outside_the_volume(
    volume_start: Triple, volume_size: Triple, file_size: Triple, start: Triple, size: Triple
) -> None:
    volume, asked = box(volume_start, volume_size), box(start, size)
    grid = FileGrid(volume, file_size)
    for axis in range(3):
        spans = grid.spans(asked, axis)
        assert [span.start for span in spans] + [size[axis]] == [0] + [span.stop for span in spans]
        for span in spans:
            for at in range(span.start, span.stop):
                place = start[axis] + at
                inside = volume.start[axis] <= place < volume.stop[axis]
                assert (span.extent > 0) == inside
                if inside:
                    begin = place - (at - span.start + span.offset)
                    assert (begin - volume.start[axis]) % file_size[axis] == 0
                    assert span.extent == min(file_size[axis], volume.stop[axis] - begin)
                    assert 0 <= span.offset + at - span.start < span.extent


@given(places, sizes, sizes, places, sizes)
def test_the_files_of_a_box_are_those_that_cloudvolume_reads(
    volume_start: Triple, volume_size: Triple, file_size: Triple, start: Triple, size: Triple
) -> None:
    from cloudvolume import Bbox, Vec
    from cloudvolume.datasource.precomputed.image.common import chunknames

    volume, asked = box(volume_start, volume_size), box(start, size)
    grid = FileGrid(volume, file_size)
    names = {file_name(file) for file in grid.files(asked)}
    bounds = Bbox(volume.start, volume.stop)
    whole = Bbox(asked.start, asked.stop).expand_to_chunk_size(file_size, offset=volume.start)
    theirs = set()
    if asked.intersection(volume).volume:
        theirs = {*chunknames(Bbox.clamp(whole, bounds), bounds, "key", Vec(*file_size))}
    assert {f"key/{name}" for name in names} == theirs
