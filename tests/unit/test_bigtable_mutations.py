"""Writing rows to Bigtable: rows that failed are written again, and only these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from google.api_core.exceptions import NotFound, RetryError, ServiceUnavailable
from google.cloud.bigtable_v2 import MutateRowsRequest, MutateRowsResponse

from shared.bigtable.mutations import mutate_rows, replace_cell, set_cells

OK, NOT_FOUND, UNAVAILABLE = 0, 5, 14
TABLE = "projects/p/instances/i/tables/t"
Answer = Sequence[tuple[int, int]] | Exception


class Bigtable:
    """In the place of the client: answers each request with the next of some answers, (row number, code) each."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[list[bytes]] = []

    def mutate_rows(self, request: MutateRowsRequest, retry: None, timeout: float) -> list[MutateRowsResponse]:
        assert (request.table_name, timeout) == (TABLE, 1.0)
        self.requests.append([entry.row_key for entry in request.entries])
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [MutateRowsResponse(entries=[{"index": row, "status": {"code": code}}]) for row, code in answer]


def write(bigtable: Any, keys: Sequence[bytes], timeout_s: float = 30.0) -> None:
    mutate_rows(bigtable, TABLE, [set_cells(key, "0", {"size": b"1"}) for key in keys], timeout_s, 1.0)


def test_only_the_rows_that_failed_are_written_again() -> None:
    bigtable = Bigtable([(0, OK), (1, UNAVAILABLE), (2, OK), (3, UNAVAILABLE)], [(0, OK), (1, UNAVAILABLE)], [(0, OK)])
    write(bigtable, [b"a", b"b", b"c", b"d"])
    assert bigtable.requests == [[b"a", b"b", b"c", b"d"], [b"b", b"d"], [b"d"]]


def test_rows_that_were_not_answered_for_are_written_again() -> None:
    bigtable = Bigtable([(1, OK)], [(0, OK)])
    write(bigtable, [b"a", b"b"])
    assert bigtable.requests == [[b"a", b"b"], [b"a"]]


def test_a_request_that_failed_is_made_again_whole() -> None:
    bigtable = Bigtable(ServiceUnavailable("away"), [(0, OK), (1, OK)])
    write(bigtable, [b"a", b"b"])
    assert bigtable.requests == [[b"a", b"b"], [b"a", b"b"]]


def test_an_error_that_no_retry_mends_is_raised_at_once() -> None:
    bigtable = Bigtable([(0, UNAVAILABLE), (1, NOT_FOUND)])
    with pytest.raises(NotFound):
        write(bigtable, [b"a", b"b"])
    assert len(bigtable.requests) == 1


def test_transient_errors_without_end_are_given_up() -> None:
    with pytest.raises(RetryError):
        write(Bigtable([(0, UNAVAILABLE)]), [b"a"], timeout_s=0.05)


def test_entries_hold_their_mutations_in_order() -> None:
    entry = replace_cell(b"key", "4", "mark", b"new")
    deletion, setting = entry.mutations
    old = deletion.delete_from_column
    assert (entry.row_key, old.family_name, old.column_qualifier) == (b"key", "4", b"mark")
    cell = setting.set_cell
    assert (cell.family_name, cell.column_qualifier, cell.value) == ("4", b"mark", b"new")
    assert cell.timestamp_micros % 1000 == 0
