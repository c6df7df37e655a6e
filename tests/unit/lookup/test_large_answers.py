"""Answers of about the size that the platform sends at most."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from werkzeug.test import TestResponse

from shared.attributes import Attribute
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.lookup.found import Found, IdState
from shared.lookup.http import create_app
from shared.lookup.query import Query
from shared.lookup.service import Lookup
from shared.store.protocol import CachedCells
from shared.types import UInt64Array
from shared.web.answers import MOST_ANSWER_BYTES
from tests.support.lookup_rows import GEOMETRY
from tests.support.lookup_setup import ATTRIBUTES_PATH, World, all_found, json_of

ROW_BYTES = (300, 500)
"""Of the nodes in turn: not every one has principal axes."""


class FakeService:
    """Answers with rows of bytes that are no JSON, or with so many bytes whatever is asked."""

    def __init__(self, n_bytes: int | None = None) -> None:
        self._n_bytes = n_bytes

    def look_up(self, dataset: object, query: Query, steps: object, caller: str) -> Lookup:
        ids = len(query.l2_ids)
        rows = self._n_bytes if self._n_bytes is not None else sum(ROW_BYTES[i % 2] for i in range(ids))
        return Lookup(bytes(rows), all_found(query.l2_ids))

    def find(
        self, dataset: object, l2_ids: UInt64Array, attributes: tuple[Attribute, ...], *_: object, **__: object
    ) -> Found:
        """No node has a row."""
        cells = CachedCells(l2_ids[:0], {attribute.name: [] for attribute in attributes})
        return Found(l2_ids, np.full(len(l2_ids), IdState.MISSING, np.uint8), cells, {}, GEOMETRY)


def ask(folder: Path, service: FakeService, ids: int, query: str = "", **headers: str) -> TestResponse:
    environment = {**World(folder, "http://127.0.0.1:1").environment, "L2CACHE_MAX_IDS": "300000"}
    settings = Settings.from_environment(environment)
    datasets = Datasets.from_file(settings.datasets_file)
    source: Any = lambda: service  # noqa: E731
    app = create_app(source, datasets, lambda _: None, settings)
    body = np.arange(ids, dtype="<u8").tobytes()
    kind = {"Content-Type": "application/octet-stream"}
    return app.test_client().post(ATTRIBUTES_PATH + query, data=body, headers={**kind, **headers})


def test_an_answer_at_the_limit_is_sent(tmp_path: Path) -> None:
    answer = ask(tmp_path, FakeService(MOST_ANSWER_BYTES), 1000)
    assert answer.status_code == 200
    assert len(answer.data) == MOST_ANSWER_BYTES


def test_beyond_the_limit_the_client_hears_what_would_fit(tmp_path: Path) -> None:
    refused = ask(tmp_path, FakeService(MOST_ANSWER_BYTES + 1), 1000)
    assert refused.status_code == 413
    said = json_of(refused)["message"]
    assert f"the answer has {MOST_ANSWER_BYTES + 1} bytes, at most {MOST_ANSWER_BYTES} can be sent" in said
    assert "Accept-Encoding: gzip" in said


def test_what_counts_is_what_is_sent(tmp_path: Path) -> None:
    answer = ask(tmp_path, FakeService(MOST_ANSWER_BYTES + 1), 1000, **{"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["Content-Encoding"] == "gzip"


def test_as_many_ids_as_it_says_do_fit(tmp_path: Path) -> None:
    refused = ask(tmp_path, FakeService(), 90_001)
    assert refused.status_code == 413
    (fitting,) = re.findall(r"at most (\d+) ids at a time", json_of(refused)["message"])
    assert json_of(refused)["max_ids"] == int(fitting)
    assert int(fitting) > 60_000
    assert ask(tmp_path, FakeService(), int(fitting)).status_code == 200


@pytest.mark.parametrize("encoding", ["identity", "br", "gzip;q=0"])
def test_a_client_without_gzip_is_told_of_it(tmp_path: Path, encoding: str) -> None:
    refused = ask(tmp_path, FakeService(MOST_ANSWER_BYTES * 2), 1000, **{"Accept-Encoding": encoding})
    assert refused.status_code == 413
    assert "at most 450 ids at a time, accept gzip" in json_of(refused)["message"]


def test_a_stream_of_arrow_that_is_too_large_fits_compressed_or_in_parts(tmp_path: Path) -> None:
    service, many = FakeService(), 250_000
    refused = ask(tmp_path, service, many, "?format=arrow", **{"Accept-Encoding": "gzip"})
    assert refused.status_code == 413
    document = json_of(refused)
    fitting = document["max_ids"]
    assert f"ask for at most {fitting} ids at a time, accept zstd (Accept-Encoding: zstd)" in document["message"]
    assert many // 2 < fitting < many
    assert ask(tmp_path, service, fitting, "?format=arrow").status_code == 200
    packed = ask(tmp_path, service, many, "?format=arrow", **{"Accept-Encoding": "zstd"})
    assert packed.status_code == 200
    assert len(packed.data) * 10 < MOST_ANSWER_BYTES
