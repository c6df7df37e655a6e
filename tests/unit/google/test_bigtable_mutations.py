"""Writing rows to Bigtable: rows that failed are written again, and only these; what must happen once does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from google.api_core.exceptions import NotFound, RetryError, ServiceUnavailable
from google.cloud.bigtable_v2 import (
    CheckAndMutateRowRequest,
    CheckAndMutateRowResponse,
    MutateRowsRequest,
    MutateRowsResponse,
)

from shared.google.bigtable.mutations import cell_is, mutate_rows, replace_cell, replace_if, set_cells

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


class Forgetful:
    """In the place of the client: does what it is asked for, but its first answers get lost, before or after that."""

    def __init__(self, lost: Sequence[str]) -> None:
        self.lost, self.value = list(lost), b"old"

    def check_and_mutate_row(self, request: CheckAndMutateRowRequest, retry: None, timeout: float) -> Any:
        assert (request.table_name, timeout) == (TABLE, 1.0)
        when = self.lost.pop(0) if self.lost else ""
        if when == "before":
            raise ServiceUnavailable("away")
        matched = self.value == request.predicate_filter.chain.filters[2].value_range_filter.start_value_closed
        if matched:
            self.value = request.true_mutations[1].set_cell.value
        if when == "after":
            raise ServiceUnavailable("away")
        return CheckAndMutateRowResponse(predicate_matched=matched)


@pytest.mark.parametrize("lost", [(), ("before",), ("after",), ("before", "after", "before")])
@pytest.mark.parametrize(("expected", "succeeds"), [(b"old", True), (b"other", False)])
def test_who_replaced_a_cell_is_told_though_answers_get_lost(
    lost: Sequence[str], expected: bytes, succeeds: bool
) -> None:
    bigtable: Any = Forgetful(lost)
    replaced = replace_if(
        bigtable,
        TABLE,
        replace_cell(b"key", "1", "run", b"new"),
        condition=cell_is("1", "run", expected),
        negate=False,
        is_ours=lambda: bigtable.value == b"new",
        timeout_s=30.0,
        attempt_timeout_s=1.0,
    )
    assert (replaced, bigtable.value == b"new") == (succeeds, succeeds)
