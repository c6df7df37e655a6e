"""Runs whose functions die at any instruction that others can see, whose tasks come twice, late or in any order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import RunConflictError
from shared.geometry.grid import Box
from shared.ingest.ledger import Ledger
from shared.ingest.progress import Piece, block_progress, open_numbers
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from shared.sqlite.delivery import Lease
from tests.support.graph.small import GEOMETRY, GRAPH_ID, META, TABLE_ID
from tests.support.ingest_site import CHUNKS, MOMENT, Site


class Died(BaseException):
    """The process is gone: nothing of ours may catch this."""


class Mortal:
    """A store or a queue whose user dies just before or just after the n-th call that changes something."""

    def __init__(self, inner: Any, countdown: Countdown) -> None:
        self._inner, self._countdown = inner, countdown

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in ("enqueue", "write_marks", "replace_mark", "write_features", "create_table"):
            return method
        return lambda *arguments: self._countdown.around(lambda: method(*arguments))


class Countdown:
    """Counts moments, two for each effect: before and after it; dies at a chosen one, once."""

    def __init__(self, dies_at: int) -> None:
        self.left, self.died = dies_at, False

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.died = True
            raise Died

    def around(self, effect: Callable[[], Any]) -> Any:
        self.tick()
        result = effect()
        self.tick()
        return result


def mortal_site(folder: Path, dies_at: int, **arguments: Any) -> tuple[Site, Countdown]:
    folder.mkdir()
    site, countdown = Site(folder, **arguments), Countdown(dies_at)
    store, queue = Mortal(site.cache.store, countdown), Mortal(site.queue, countdown)
    site.ingest = replace(site.ingest, store=store, queue=queue)
    computer = replace(site.cache.service, store=store)
    site.leaf = replace(site.leaf, computer=computer, store=store, queue=queue)
    return site, countdown


def deliver(site: Site, lease: Lease) -> None:
    """A delivery by a queue that delivers again what was not answered."""
    try:
        site.deliver(lease)
    except Died:
        site.deliver(lease)


def drain(site: Site) -> int:
    """Delivers until nothing waits; how many tasks there were."""
    now_s, tasks = site.clock.now_s * 2, 0
    while leases := site.deliveries.lease(1, now_s):
        deliver(site, leases[0])
        site.deliveries.acknowledge([leases[0].id])
        tasks += 1
    return tasks


def start(site: Site) -> None:
    """A start by an operator who asks again when the answer does not come."""
    try:
        site.start(test=True)
    except Died:
        with contextlib.suppress(RunConflictError):  # it is going on already
            site.start(test=True)


def test_a_run_that_dies_at_any_moment_ends_complete_with_the_same_rows(tmp_path: Path) -> None:
    calm, _ = mortal_site(tmp_path / "calm", -1)
    start(calm)
    drain(calm)
    moments = 0
    while True:
        moments += 1
        site, countdown = mortal_site(tmp_path / str(moments), moments)
        start(site)
        drain(site)
        status = site.ingest.status(GRAPH_ID)
        assert (status.completed_chunks, status.failed_chunks, status.finished) == (8, 0, True)
        assert site.cache.rows() == calm.cache.rows()
        assert status.rows == calm.ingest.status(GRAPH_ID).rows
        if not countdown.died:
            break
    assert moments > 20


def test_a_leaf_that_dies_while_handing_on_loses_nothing(tmp_path: Path) -> None:
    moments = 0
    while True:
        moments += 1
        site, countdown = mortal_site(tmp_path / str(moments), moments, budget_s=10.0)
        site.cache.volume.fail = lambda _, clock=site.clock: clock.sleep(7.0)
        run = Run(GRAPH_ID, TABLE_ID, MOMENT, Box((0, 0, 0), GEOMETRY.grid_shape), CHUNKS, site.clock())
        site.cache.store.create_table(TABLE_ID, META)
        Ledger(site.cache.store, TABLE_ID).write_run(run)
        site.queue.enqueue([BlockTask(run, run.block).to_task()])
        assert drain(site) > 2
        assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS
        assert sorted(site.cache.rows()) == sorted(site.cache.graph.members)
        if not countdown.died:
            break
    assert moments > 10


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_tasks_in_any_order_and_number_end_in_the_same_place(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    site = Site(tmp_path_factory.mktemp("order"))
    site.start()
    known: list[Lease] = []
    while True:
        known += site.deliveries.lease(100, site.clock.now_s * 2)
        waiting = [lease for lease in known if lease.attempt]
        if not waiting:
            break
        again = data.draw(st.sampled_from(known))
        site.deliver(again)
        chosen = data.draw(st.sampled_from(waiting))
        site.deliver(chosen)
        known[known.index(chosen)] = replace(chosen, attempt=0)
    status = site.ingest.status(GRAPH_ID)
    assert (status.completed_chunks, status.rows) == (CHUNKS, len(site.cache.graph.members))
    assert sorted(site.cache.rows()) == sorted(site.cache.graph.members)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    first = draw(st.integers(0, 9))
    stop = draw(st.integers(first + 1, 10))
    failed = draw(st.dictionaries(st.integers(first, stop - 1), st.sampled_from(["odd", "gone"])))
    return Piece(first, stop, draw(st.integers(0, 50)), 1.0, draw(st.floats(0, 9)), draw(st.integers(0, 3)), failed)


@given(st.lists(pieces(), max_size=6), st.integers(0, 3))
def test_what_is_known_of_a_chunk_is_the_best_that_any_mark_says(marks: list[Piece], retry_from: int) -> None:
    progress = block_progress(marks, retry_from)
    done = {n for mark in marks for n in range(mark.first, mark.stop) if n not in mark.failed}
    failed = {n for mark in marks if mark.generation >= retry_from for n in mark.failed} - done
    assert progress.completed == len(done)
    assert set(progress.failed) == failed
    assert set(open_numbers(marks, 10, retry_from)) == set(range(10)) - done - failed
    assert progress == block_progress(marks[::-1], retry_from) or len({mark.finished_s for mark in marks}) < len(marks)


@given(pieces())
def test_a_mark_reads_back(piece: Piece) -> None:
    assert Piece.from_json(piece.first, piece.stop, piece.to_json()) == piece
