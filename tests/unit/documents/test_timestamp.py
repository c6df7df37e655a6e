"""Moments as text: every one reads back as it was written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents.timestamp import format_utc, parse_utc, requested_moment
from shared.errors import BadRequestError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-23, 23))
def test_a_moment_of_any_year_reads_back(moment: datetime, hours: int) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    text = format_utc(aware)
    assert parse_utc(text) == aware
    assert len(text) == len("2026-06-01 00:00:00")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0226-06-01 00:00:00", "before 2000-01-01"),
        ("1999-12-31 23:59:59", "before 2000-01-01"),
        ("2026-11-22 12:00:01", "future"),
        ("9999-12-31T23:59:59-23:59", "understood"),
        ("0001-01-01T00:00:00+23:59", "understood"),
        ("yesterday", "understood"),
        ("2026-13-01", "understood"),
        ("x" * 5000, "understood"),
    ],
)
def test_a_moment_that_no_graph_can_be_asked_about_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadRequestError, match=named) as error:
        requested_moment(text, NOW)
    assert text[:40] in str(error.value)
    assert len(str(error.value)) < 200


def test_the_first_and_the_last_moment_are_taken() -> None:
    assert requested_moment("2000-01-01 00:00:00", NOW) == datetime(2000, 1, 1, tzinfo=UTC)
    assert requested_moment("2026-11-22T14:00:00.9+02:00", NOW) == NOW
