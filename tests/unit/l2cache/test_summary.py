from __future__ import annotations

import pytest

from l2cache.summary import duration, run_text, size, text_of


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (245, "4:05 min"), (45_000, "12:30 h")]
)
def test_spans_of_time(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("n_bytes", "text"), [(7, "7 bytes"), (1_234, "1.23 kB"), (5e9, "5 GB"), (2e14, "200 TB")])
def test_sizes(n_bytes: float, text: str) -> None:
    assert size(n_bytes) == text


RUN = {
    "run_id": "R", "dataset": "brain", "timestamp": "2026-06-01 00:00:00", "started": "2026-06-02 00:00:00",
    "generation": 1, "state": "running", "total_chunks": 4000, "completed_chunks": 1000, "failed_chunks": 2,
    "rows": 12345, "foreign_supervoxels": 0, "chunks_per_s": 10.0, "time_left_s": 299,
}  # fmt: skip


def test_a_run_shows_its_rate_and_the_time_left() -> None:
    text = run_text(RUN)
    assert "1,000 of 4,000 done (25%), 2 failed" in text
    assert "10.0 chunks/s, 4:59 min left" in text
    assert "retrying" not in text
    assert "unknown time left" in run_text(RUN | {"time_left_s": None})


def test_what_is_retried_is_said_with_its_reason_cut_short() -> None:
    retrying = [{"reason": "odd", "chunks": 3}, {"reason": "x" * 1000, "chunks": 1}]
    text = run_text(RUN | {"retrying_chunks": 4, "retrying": retrying})
    assert "4 chunks that had failed (3: odd; 1: xxx" in text
    assert len(text) < 700


def test_an_answer_of_no_known_kind_is_shown_as_it_is() -> None:
    assert text_of("document", {"a": 1}) == '{\n  "a": 1\n}'


def test_a_map_is_drawn_along_z() -> None:
    seen = {
        "columns": "x", "rows": "y", "done": [[4, 2, 0], [1, 3, 4]], "failed": [[0, 0, 0], [0, 1, 0]],
        "open": [[0, 2, 4], [3, 0, 0]], "missing": [[0, 0, 0], [0, 0, 2.5]],
    }  # fmt: skip
    chunks = {"start": [10, 0, 0], "stop": [13, 2, 4]}
    text = text_of("map", RUN | {"chunks": chunks, "cell_chunks": [1, 1, 4], "cells": [3, 2, 1], "along": {"z": seen}})
    assert "3 x 2 chunks, 4 deep, 1 x 1 in a character" in text
    assert text.splitlines()[1:3] == ["#- ", ".!?"]


def test_a_pace_is_drawn_as_bars() -> None:
    document = RUN | {"start": "2026-06-02 00:00:00", "step_s": 30.0, "chunks_per_s": [0.0, 2.0, 4.0]}
    lines = text_of("pace", document).splitlines()
    assert [line.count("#") for line in lines] == [0, 0, 20, 40]
    assert "1:00 min" in lines[3]
    assert text_of("pace", document | {"chunks_per_s": [0.0]})


def test_the_overview_says_of_each_dataset_what_there_is() -> None:
    runs = {"older_runs": 2, "has_table": True, "unreadable": []}
    text = text_of(
        "overview",
        {
            "datasets": [
                {"dataset": "a", "table": "l2_a", "runs": [RUN], **runs},
                {"dataset": "b", "table": "l2_b", "runs": [], **runs, "has_table": False, "older_runs": 0},
            ]
        },
    )
    first, run, last = text.splitlines()
    assert first == "a (table l2_a, 2 older runs)"
    assert run.startswith("  R\trunning\t1000/4000 chunks")
    assert last == "b (table l2_b): no table yet"
