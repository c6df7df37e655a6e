"""Kinds of runs: what is stored of ingests stays as it was, other kinds have names and places of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.errors import BadRequestError
from shared.geometry.grid import Box
from shared.ingest.kind import RunKind
from shared.ingest.ledger import Ledger
from shared.ingest.progress import Piece
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from tests.support.graph.small import TABLE_ID, SmallCache

INGEST = Run("small", TABLE_ID, datetime(2026, 6, 1, tzinfo=UTC), Box((0, 0, 0), (3, 2, 3)), 4, 1_780_272_060.5)
AUDIT = replace(INGEST, kind=RunKind.AUDIT, options={"repair": True})
STORED = (
    b'{"graph_id": "small", "table_id": "l2cache_small_v1", "timestamp": "2026-06-01 00:00:00", '
    b'"block": "0_0_0-3_2_3", "leaf_chunks": 4, "started_s": 1780272060.5, "unit": [1, 1, 1], "batch_chunks": 1, '
    b'"generation": 0, "resumed_s": 0.0, "retry_from": 0}'
)
STORED_PIECE = b'{"nodes": 7, "busy_s": 1.5, "finished_s": 1780272070.0, "generation": 0, "failed": {"odd": [1]}}'


def test_an_ingest_is_stored_as_ever() -> None:
    assert INGEST.to_json() == STORED
    assert Run.from_json(STORED) == INGEST
    assert Piece.from_json(0, 4, STORED_PIECE).to_json() == STORED_PIECE
    leaf = BlockTask(INGEST, Box((0, 0, 0), (1, 2, 2))).to_task()
    assert (leaf.path, BlockTask(INGEST, INGEST.block).to_task().path) == ("/chunks", "/expand")


def test_another_kind_travels_with_its_options_and_has_a_name_and_paths_of_its_own() -> None:
    assert Run.from_json(AUDIT.to_json()) == AUDIT
    assert AUDIT.run_id == f"audit-1780272060500-{INGEST.run_id}"
    assert RunKind.of_run_id(AUDIT.run_id) is RunKind.AUDIT
    assert RunKind.of_run_id(INGEST.run_id) is RunKind.INGEST
    leaf = BlockTask(AUDIT, Box((0, 0, 0), (1, 2, 2))).to_task()
    assert (leaf.path, BlockTask(AUDIT, AUDIT.block).to_task().path) == ("/chunks/audit", "/expand/audit")
    assert BlockTask.from_body(leaf.body).run == AUDIT


@pytest.mark.parametrize("wrong", [{"kind": "dance"}, {"kind": ["audit"]}, {"kind": "audit", "options": [1]}])
def test_a_run_of_no_known_kind_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadRequestError):
        Run.from_json({**json.loads(STORED), **wrong})


def test_runs_of_one_kind_are_not_among_those_of_another(tmp_path: Path) -> None:
    store = SmallCache(tmp_path).store
    ingests, audits = Ledger.of_run(store, INGEST), Ledger.of_run(store, AUDIT)
    block = Box((0, 0, 0), (1, 2, 2))
    assert ingests.claim(INGEST, ingests.known())
    assert audits.claim(AUDIT, audits.known())
    audits.add_pieces(AUDIT, block, [Piece(0, 3, 0, 1.0, 1.0, counts={"rows": 5}, notes=("one",))])
    audits.cancel(AUDIT, 2.0)
    assert (ingests.known().readable, ingests.known().newest) == ((INGEST,), INGEST)
    assert (audits.known().readable, audits.known().newest) == ((AUDIT,), AUDIT)
    assert (ingests.pieces(INGEST), ingests.is_cancelled(INGEST)) == ({}, False)
    (piece,) = audits.pieces(AUDIT)["0_0_0-1_2_2"]
    assert (piece.counts, piece.notes, audits.is_cancelled(AUDIT)) == ({"rows": 5}, ("one",), True)
    store.close()
