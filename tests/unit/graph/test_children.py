"""The values of a graph table's `children` column, and to whom of several claimants a supervoxel belongs."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shared.graph.children import ChildrenCell, SupervoxelOwners, decode_children

IDS = st.lists(st.integers(0, 2**64 - 1), max_size=200).map(lambda ids: np.array(ids, dtype="<u8"))
FEW_IDS = st.lists(st.integers(1, 9), max_size=6, unique=True)
CLAIMS = st.lists(st.tuples(st.integers(1, 4), FEW_IDS), max_size=8)


@given(ids=IDS, with_length=st.booleans())
def test_children_are_read_whether_compressed_or_not(ids: np.ndarray, with_length: bool) -> None:
    compressed = zstandard.ZstdCompressor(write_content_size=with_length).compress(ids.tobytes())
    for value in (compressed, ids.tobytes()):
        decoded = decode_children(value)
        assert decoded.dtype == np.uint64
        assert decoded.tolist() == ids.tolist()


@given(ids=IDS, lost=st.integers(1, 20))
def test_compressed_children_that_are_cut_off_are_refused(ids: np.ndarray, lost: int) -> None:
    compressed = zstandard.compress(ids.tobytes())
    with pytest.raises(ValueError, match="children"):
        decode_children(compressed[: max(4, len(compressed) - lost)])


def test_a_value_that_is_no_whole_number_of_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        decode_children(b"123456789")


@given(claims=CLAIMS)
def test_the_newest_claim_holds_a_supervoxel_and_of_those_made_at_once_the_highest_id(
    claims: list[tuple[int, list[int]]],
) -> None:
    cells = [
        ChildrenCell(100 + number, written, np.array(supervoxels, dtype=np.uint64))
        for number, (written, supervoxels) in enumerate(claims)
    ]
    asked = [0, *range(12), 3]
    expected = [
        max(((cell.timestamp_us, cell.l2_id) for cell in cells if supervoxel in cell.supervoxels), default=(0, 0))[1]
        for supervoxel in asked
    ]
    assert SupervoxelOwners.of(cells).at(np.array(asked, dtype=np.uint64)).tolist() == expected
