"""How much time a look-up has for its answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.deadline import carried, prolong, time_left_s, uncounted, unlimited, within
from shared.lookup.http import create_app
from shared.lookup.service import Lookup
from tests.support.lookup_setup import ATTRIBUTES_PATH, World, all_found

LIMIT_S = 100.0
NOISE_S = 20.0


def test_an_inner_limit_shortens_the_time_and_never_extends_it() -> None:
    with within(LIMIT_S):
        with within(2 * LIMIT_S):
            assert time_left_s() <= LIMIT_S
        with within(1.0):
            assert time_left_s() <= 1.0
        with unlimited():
            assert time_left_s(5.0) == 5.0
        assert LIMIT_S - NOISE_S < time_left_s() <= LIMIT_S


def test_the_limit_is_over_with_its_block_whatever_became_of_it() -> None:
    def fail() -> None:
        prolong(LIMIT_S)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"), within(LIMIT_S):
        fail()
    assert time_left_s(1e9) == 1e9


def test_another_thread_gets_the_limit_only_if_it_is_carried() -> None:
    with within(LIMIT_S), ThreadPoolExecutor(1) as threads:
        assert threads.submit(time_left_s, 1e9).result() == 1e9
        assert threads.submit(carried(time_left_s), 1e9).result() <= LIMIT_S
        assert threads.submit(time_left_s, 1e9).result() == 1e9


class TimedService:
    """Notes how much time it has."""

    def __init__(self) -> None:
        self.left_s: list[float] = []

    def look_up(self, *_: object) -> Lookup:
        self.left_s.append(time_left_s())
        return Lookup(b"{}", all_found(np.empty(0, dtype=np.uint64)))


class SlowBody:
    """Eight bytes that take two seconds to arrive."""

    def __init__(self) -> None:
        self._pieces = [bytes(8), b""]

    def read(self, _size: int = -1) -> bytes:
        time.sleep(1)
        return self._pieces.pop(0)


def test_a_look_up_has_the_time_of_its_ids_and_none_is_taken_by_its_body(tmp_path: Path) -> None:
    environment = {**World(tmp_path, "http://127.0.0.1:1").environment, "L2CACHE_ANSWER_S": "1.5"}
    settings = Settings.from_environment(environment)
    service = TimedService()
    source: Any = lambda: service  # noqa: E731
    client = create_app(source, Datasets.from_file(settings.datasets_file), lambda _: None, settings).test_client()
    headers = {"Content-Type": "application/octet-stream"}
    for n_ids in (1, 10_000, 100_000):
        body = np.arange(n_ids, dtype="<u8").tobytes()
        assert client.post(ATTRIBUTES_PATH, data=body, headers=headers).status_code == 200
    few_s, in_time_s, many_s = service.left_s
    assert max(few_s, in_time_s) <= 1.5
    assert 10 < many_s <= 15
    slow = {"wsgi.input": SlowBody(), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    client.post(ATTRIBUTES_PATH, headers=headers, environ_overrides=slow)
    assert 0 < service.left_s[-1] <= 1.5
    assert time_left_s(1e9) == 1e9


def test_the_clock_stands_still_while_the_client_takes_its_time() -> None:
    with within(1.0):
        with uncounted():
            time.sleep(0.2)
            before_s = time_left_s()
        assert time_left_s() > before_s
