"""Traces: records name the one that a thread works in, and what is published hands it on."""

from __future__ import annotations

import json
import logging
import threading

from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from shared.telemetry.log import JsonFormatter
from shared.telemetry.trace import current_trace, in_trace, trace_of, traceparent
from shared.telemetry.web_trace import trace_id

ONE, OTHER = "0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"


def line(project: str = "", **fields: object) -> dict[str, object]:
    record = logging.LogRecord("l2cache.test", logging.INFO, "", 0, "something", None, None)
    record.__dict__["fields"] = fields
    parsed: dict[str, object] = json.loads(JsonFormatter(project).format(record))
    return parsed


def test_records_name_the_trace_as_cloud_logging_reads_it() -> None:
    with in_trace(ONE):
        inside = line("a-project")
    assert inside["logging.googleapis.com/trace"] == f"projects/a-project/traces/{ONE}"
    assert inside["trace"] == ONE


def test_outside_of_a_trace_records_name_none() -> None:
    assert not [name for name in line("a-project") if "trace" in name]


def test_without_a_project_only_the_id_is_named() -> None:
    with in_trace(ONE):
        assert [name for name in line() if "trace" in name] == ["trace"]


def test_a_trace_that_a_record_names_itself_is_kept() -> None:
    with in_trace(ONE):
        assert line("p", trace=OTHER)["logging.googleapis.com/trace"] == f"projects/p/traces/{OTHER}"


def test_traces_nest_and_none_changes_nothing() -> None:
    with in_trace(ONE):
        with in_trace(None):
            assert current_trace() == ONE
        with in_trace(OTHER):
            assert current_trace() == OTHER
        assert current_trace() == ONE
    assert current_trace() is None


def test_threads_do_not_share_a_trace() -> None:
    seen: list[str | None] = []
    with in_trace(ONE):
        thread = threading.Thread(target=lambda: seen.append(current_trace()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_what_is_handed_on_is_read_as_the_same_trace_under_another_span() -> None:
    first, second = traceparent(ONE), traceparent(ONE)
    assert first != second
    assert {trace_id(Headers({"traceparent": value})) for value in (first, second)} == {ONE}


@given(st.text(max_size=80))
def test_any_other_text_hands_no_trace_on(text: str) -> None:
    assert trace_of(text) is None
    assert trace_of(f"{traceparent(ONE)}\n{text}") is None
    assert trace_of(f"{text}\n{traceparent(ONE)}") is None
