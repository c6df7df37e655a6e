"""Rows are put together from the chunks of a ReadRows stream, however they are cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud.bigtable_v2.types import ReadRowsResponse
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import StorageUnavailableError
from shared.google.bigtable.row_layout import KnownLayouts
from shared.google.bigtable.rows import merge_rows, rows_of

Chunk = ReadRowsResponse.CellChunk
Row = tuple[bytes, dict[bytes, list[tuple[int, bytes]]]]

# of each column some versions, the newest first
versions_strategy = st.dictionaries(st.integers(1, 9), st.binary(max_size=6), min_size=1, max_size=3).map(
    lambda versions: [(1000 * time, value) for time, value in sorted(versions.items(), reverse=True)]
)
rows_strategy = st.dictionaries(
    st.binary(min_size=1, max_size=4),
    st.dictionaries(st.sampled_from([b"pca", b"pca_val", b"size_nm3"]), versions_strategy, min_size=1),
    max_size=5,
).map(lambda rows: sorted(rows.items()))


def chunks_of(row: Row, draw: st.DrawFn) -> Iterator[ReadRowsResponse.CellChunk]:
    """A row as Bigtable may cut it: values in pieces, names only where they change, older versions after the newest."""
    key, columns = row
    for number, (qualifier, versions) in enumerate(columns.items()):
        for version, (timestamp_us, value) in enumerate(versions):
            cut = draw(st.integers(0, len(value)))
            pieces = [value[:cut], value[cut:]] if cut else [value]
            for piece, part in enumerate(pieces):
                chunk = Chunk(value=part, value_size=len(value) if piece + 1 < len(pieces) else 0)
                if number == version == piece == 0:
                    chunk.row_key, chunk.family_name = key, "0"
                if version == piece == 0:
                    chunk.qualifier = qualifier
                if piece == 0:
                    chunk.timestamp_micros = timestamp_us
                last = piece + 1 == len(pieces) and version + 1 == len(versions) and number + 1 == len(columns)
                chunk.commit_row = last
                yield chunk


def message(chunks: list[ReadRowsResponse.CellChunk]) -> bytes:
    """Chunks as they come in a stream."""
    return bytes(ReadRowsResponse.serialize(ReadRowsResponse(chunks=chunks)))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Row], list[bytes]]:
    """Rows, and the responses that carry them; some rows are begun, taken back and sent again."""
    rows = draw(rows_strategy)
    chunks: list[ReadRowsResponse.CellChunk] = []
    for row in rows:
        whole = list(chunks_of(row, draw))
        begun = draw(st.integers(0, len(whole) - 1))
        if begun:
            chunks += [*whole[:begun], Chunk(reset_row=True)]
        chunks += whole
    size = draw(st.integers(1, 5))
    return rows, [message(chunks[start : start + size]) for start in range(0, len(chunks), size)]


@given(streams())
def test_rows_come_out_as_they_are(stream: tuple[list[Row], list[bytes]]) -> None:
    rows, responses = stream
    assert list(rows_of(responses)) == [
        (key, [(qualifier, *version) for qualifier, versions in columns.items() for version in versions])
        for key, columns in rows
    ]
    assert list(merge_rows(responses)) == [
        (key, {qualifier: versions[0][1] for qualifier, versions in columns.items()}) for key, columns in rows
    ]


@st.composite
def alike_rows(draw: st.DrawFn) -> tuple[list[tuple[bytes, list[tuple[bytes, int, bytes]]]], list[bytes]]:
    """Whole rows of few kinds, as a cache table has them, in messages of some rows each."""
    rows, chunks = [], []
    says_all = draw(st.booleans())  # the emulator names row and family in each chunk
    for number in range(draw(st.integers(1, 12))):
        newest_us = draw(st.sampled_from([0, 1, 127, 128, 1_700_000_000_000_000, 1 << 55, 1 << 56, 1 << 62]))
        times = st.sampled_from([newest_us, newest_us // 2])
        present = draw(st.sampled_from([(b"pca", b"pca_val", b"size_nm3"), (b"size_nm3",)]))
        cells = [(name, draw(times), draw(st.binary(min_size=3, max_size=3) | st.just(b""))) for name in present]
        for place, (name, time_us, value) in enumerate(cells):
            chunk = Chunk(qualifier=name, timestamp_micros=time_us, value=value)
            if place == 0 or says_all:
                chunk.row_key, chunk.family_name = b"%04d" % number, "0"
            if place + 1 == len(cells):
                chunk.commit_row = True
            chunks.append(chunk)
        rows.append((b"%04d" % number, cells))
    size = draw(st.integers(1, 9))
    return rows, [message(chunks[start : start + size]) for start in range(0, len(chunks), size)]


@given(alike_rows(), st.booleans())
def test_rows_that_resemble_each_other_come_out_as_they_are(
    stream: tuple[list[tuple[bytes, list[tuple[bytes, int, bytes]]]], list[bytes]], with_families: bool
) -> None:
    rows, messages = stream
    prefix = b"0:" if with_families else b""
    expected = [(key, [(prefix + name, *cell) for name, *cell in cells]) for key, cells in rows]
    assert list(rows_of(messages, with_families)) == expected


@given(alike_rows(), st.lists(alike_rows() | streams(), max_size=3))
def test_streams_read_before_change_nothing(
    stream: tuple[list[tuple[bytes, list[tuple[bytes, int, bytes]]]], list[bytes]],
    earlier: list[tuple[list[object], list[bytes]]],
) -> None:
    rows, messages = stream
    known = KnownLayouts()
    for _, earlier_messages in earlier:
        list(rows_of(earlier_messages, known=known))
    assert list(rows_of(messages, known=known)) == rows


def test_the_layout_of_an_earlier_streams_rows_is_kept() -> None:
    known = KnownLayouts()
    row = [Chunk(row_key=b"7", family_name="0", qualifier=b"pca", value=b"abc", commit_row=True)]
    list(rows_of([message(row)], known=known))
    (kept,) = known.newest_first
    list(merge_rows([message(row)], known=known))
    assert known.newest_first == (kept,)


def test_a_stream_that_breaks_off_within_a_row_is_an_error() -> None:
    chunk = Chunk(row_key=b"1", family_name="0", qualifier=b"pca", value=b"a")
    with pytest.raises(StorageUnavailableError, match="within a row"):
        list(merge_rows([message([chunk])]))
