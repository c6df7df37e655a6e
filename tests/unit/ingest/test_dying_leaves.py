"""Leaves whose process dies at a chunk: what was done stays done, and the chunk is found out and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shared.errors import ChunkFaultError, OutOfMemoryError, TransientError, VolumeUnavailableError
from shared.geometry.grid import Box
from shared.ingest.leaf.pipeline import ChunkResult, compute_chunks
from shared.ingest.leaf.progress import SAVE_CHUNKS
from shared.ingest.leaf.service import ATTEMPTS_OF_TASK
from shared.ingest.ledger import Ledger
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from shared.store.delivery_counts import DEATHS_BEFORE_ISOLATION
from shared.telemetry.log import StepTimer
from shared.types import Triple
from tests.support.graph.small import GEOMETRY, GRAPH_ID, META, TABLE_ID, failing
from tests.support.ingest_site import CHUNKS, MOMENT, Site, failures

BAD: Triple = (1, 1, 1)
REASON = "the process died (SIGSEGV) while reading the chunk"


class Died(BaseException):
    """The process is gone: nothing of ours may catch this."""


@dataclass
class Isolated:
    """In the place of a process of its own: what dies there is an error here.

    Attributes:
      site: whose chunks are computed.
      chunks: those that were computed here.
    """

    site: Site
    chunks: list[Triple] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[Isolated]:
        yield self

    def compute_chunk(self, run: Run, chunk: Triple) -> ChunkResult:
        self.chunks.append(chunk)
        try:
            (result,) = compute_chunks(self.site.cache.service, run, [chunk], StepTimer())
        except Died:
            return ChunkResult(chunk, error=ChunkFaultError(REASON))
        return result


def dying_at(*chunks: Triple, error: Callable[[], BaseException] = Died) -> Callable[[Triple], None]:
    def read(chunk: Triple) -> None:
        if chunk in chunks:
            raise error()

    return read


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.cache.store.create_table(TABLE_ID, META)
    return site


def one_leaf(site: Site) -> bytes:
    """The task of a run that is a single leaf."""
    run = Run(GRAPH_ID, TABLE_ID, MOMENT, Box((0, 0, 0), GEOMETRY.grid_shape), CHUNKS, site.clock())
    Ledger(site.cache.store, TABLE_ID).write_run(run)
    return BlockTask(run, run.block).to_task().body


def test_a_death_costs_no_finished_work(site: Site) -> None:
    body = one_leaf(site)
    reads: list[Triple] = []

    def read(chunk: Triple) -> None:
        reads.append(chunk)
        site.clock.sleep(1.5)
        if len(reads) == 12:
            raise Died

    site.cache.volume.fail = read
    with pytest.raises(Died):
        site.leaf.compute_block(body)
    # One read ahead or two, one being computed, one being written: all else is written down.
    assert site.ingest.status(GRAPH_ID).completed_chunks >= 4
    done_before = site.ingest.status(GRAPH_ID).completed_chunks
    reads.clear()
    site.cache.volume.fail = reads.append
    site.leaf.compute_block(body)
    assert len(reads) == CHUNKS - done_before
    status = site.ingest.status(GRAPH_ID)
    assert (status.completed_chunks, status.rows) == (CHUNKS, len(site.cache.graph.members))


def test_fast_chunks_are_written_down_by_number(site: Site) -> None:
    assert SAVE_CHUNKS <= 64
    saved: list[int] = []
    store = site.cache.store

    class Watching:
        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def write_marks(self, table_id: str, marks: dict[str, bytes | None]) -> None:
            saved.extend(1 for key in marks if key.startswith("doing/"))
            store.write_marks(table_id, marks)

    leaf = replace(site.leaf, store=Watching())  # type: ignore[arg-type]
    leaf.compute_block(one_leaf(site))
    assert len(saved) <= 2 * (CHUNKS // SAVE_CHUNKS)


def test_what_several_deaths_left_is_put_together(site: Site) -> None:
    body = one_leaf(site)
    for chunk in ((0, 1, 1), (1, 1, 0), (2, 0, 0)):
        site.cache.volume.fail = lambda read, bad=chunk: (site.clock.sleep(3.0), dying_at(bad)(read))
        with pytest.raises(Died):
            site.leaf.compute_block(body)
    site.cache.volume.fail = lambda _: None
    outcome = site.leaf.compute_block(body)
    assert outcome.chunks < CHUNKS / 2
    status = site.ingest.status(GRAPH_ID)
    assert (status.completed_chunks, status.rows) == (CHUNKS, len(site.cache.graph.members))
    assert not site.cache.store.read_marks(TABLE_ID, "doing/")


@pytest.mark.parametrize("bad", [(BAD,), ((0, 0, 0),), (BAD, (2, 1, 2)), ((2, 1, 2), (0, 0, 0), (0, 0, 1))])
def test_chunks_that_kill_their_process_are_the_only_ones_that_fail(site: Site, bad: tuple[Triple, ...]) -> None:
    site.leaf = replace(site.leaf, isolation=Isolated(site))
    site.cache.volume.fail = dying_at(*bad)
    run = site.start()
    drain(site)
    status = site.ingest.status(GRAPH_ID)
    assert (status.completed_chunks, status.failed_chunks, status.finished) == (CHUNKS - len(bad), len(bad), True)
    assert failures(site) == dict.fromkeys(bad, REASON)
    site.cache.volume.fail = lambda _: None
    site.ingest.retry(GRAPH_ID, run.run_id)
    drain(site)
    status = site.ingest.status(GRAPH_ID)
    assert (status.completed_chunks, status.failed_chunks, status.finished) == (CHUNKS, 0, True)
    assert sorted(site.cache.rows()) == sorted(site.cache.graph.members)


def test_a_process_of_its_own_is_for_tasks_that_come_again_and_again(site: Site) -> None:
    isolated = Isolated(site)
    leaf, body = replace(site.leaf, isolation=isolated), one_leaf(site)
    site.cache.volume.fail = dying_at((0, 0, 0))
    for attempt in range(1, DEATHS_BEFORE_ISOLATION + 1):
        with pytest.raises(Died):
            leaf.compute_block(body, attempt)
    assert not isolated.chunks
    assert leaf.compute_block(body, DEATHS_BEFORE_ISOLATION + 1).failed == 1
    assert len(isolated.chunks) == CHUNKS
    leaf.compute_block(body, DEATHS_BEFORE_ISOLATION + 2)
    assert len(isolated.chunks) == CHUNKS


def test_memory_that_runs_out_is_worth_another_try_and_then_a_process_of_its_own(site: Site) -> None:
    isolated = Isolated(site)
    leaf, body = replace(site.leaf, isolation=isolated), one_leaf(site)
    site.cache.volume.fail = dying_at(BAD, error=MemoryError)
    for attempt in range(1, DEATHS_BEFORE_ISOLATION + 1):
        with pytest.raises(OutOfMemoryError):
            leaf.compute_block(body, attempt)
    assert not isolated.chunks
    site.cache.volume.fail = dying_at(BAD)
    assert leaf.compute_block(body, DEATHS_BEFORE_ISOLATION + 1).failed == 1


def test_deliveries_that_were_answered_are_no_deaths(site: Site) -> None:
    isolated = Isolated(site)
    leaf, body = replace(site.leaf, isolation=isolated), one_leaf(site)
    site.cache.volume.fail = failing(VolumeUnavailableError("away"))
    for attempt in range(1, 7):
        with pytest.raises(VolumeUnavailableError):
            leaf.compute_block(body, attempt)
    assert not isolated.chunks
    site.cache.volume.fail = lambda _: None
    assert leaf.compute_block(body, 7).chunks == CHUNKS
    assert not isolated.chunks
    assert not site.cache.store.read_marks(TABLE_ID, "delivery/")


def test_deliveries_that_never_arrived_are_no_deaths(site: Site) -> None:
    isolated = Isolated(site)
    leaf = replace(site.leaf, isolation=isolated)
    assert leaf.compute_block(one_leaf(site), 6).chunks == CHUNKS  # the function was away five times
    assert not isolated.chunks


def test_a_process_that_does_not_start_ends_as_failed_chunks_and_not_as_a_run_without_end(site: Site) -> None:
    class Broken(Isolated):
        def compute_chunk(self, run: Run, chunk: Triple) -> ChunkResult:
            return ChunkResult(chunk, error=TransientError("it does not start"))

    leaf, body = replace(site.leaf, isolation=Broken(site)), one_leaf(site)
    site.cache.volume.fail = dying_at((0, 0, 0))
    for attempt in range(1, DEATHS_BEFORE_ISOLATION + 1):
        with pytest.raises(Died):
            leaf.compute_block(body, attempt)
    for attempt in range(DEATHS_BEFORE_ISOLATION + 1, ATTEMPTS_OF_TASK):
        with pytest.raises(TransientError, match="does not start"):
            leaf.compute_block(body, attempt)
    assert leaf.compute_block(body, ATTEMPTS_OF_TASK).failed == CHUNKS
    assert site.ingest.status(GRAPH_ID).finished


def drain(site: Site) -> None:
    """Delivers until nothing waits; what dies is delivered again, as by a queue."""
    now_s = site.clock.now_s * 2
    for _ in range(200):
        leases = site.deliveries.lease(1, now_s)
        if not leases:
            return
        attempt = 0
        while True:
            attempt += 1
            try:
                site.deliver(replace(leases[0], attempt=attempt))
                break
            except Died:
                assert attempt <= DEATHS_BEFORE_ISOLATION
        site.deliveries.acknowledge([leases[0].id])
    raise AssertionError("the queue does not run empty")
