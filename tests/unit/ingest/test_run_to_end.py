"""Whole runs on a small world: real store, real queue, real engine; the test delivers the tasks."""

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from shared.config.datasets import Datasets
from shared.errors import (
    BadRequestError,
    GraphUnavailableError,
    L2CacheError,
    RunConflictError,
    StorageUnavailableError,
    UnknownDatasetError,
    UnknownRunError,
    VolumeUnavailableError,
)
from shared.geometry.grid import Box
from shared.graph.protocol import L2Mapping
from shared.ingest.blocks import leaves
from shared.ingest.control.request import StartRequest
from shared.ingest.leaf.service import BACK_OFF_S
from shared.ingest.ledger import Ledger
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from shared.sqlite.delivery import Lease
from shared.store.protocol import TableMeta
from shared.types import UInt64Array
from tests.support.graph.small import GEOMETRY, GRAPH_ID, TABLE_ID, failing
from tests.support.ingest_site import CHUNKS, MOMENT, Site, failures


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def undisturbed_rows(tmp_path: Path) -> dict[int, dict[str, bytes]]:
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    site = Site(folder)
    site.start()
    site.drain()
    return site.cache.rows()


def test_a_run_ends_with_a_row_for_every_node_and_every_chunk_done(site: Site) -> None:
    run = site.start()
    assert not site.ingest.status(GRAPH_ID).finished
    site.drain()
    status = site.ingest.status(GRAPH_ID)
    assert (status.run, status.completed_chunks, status.failed_chunks, status.finished) == (run, CHUNKS, 0, True)
    assert sorted(site.cache.rows()) == sorted(site.cache.graph.members)
    assert status.rows == len(site.cache.graph.members)


def test_the_table_is_made_with_the_runs_moment(site: Site) -> None:
    site.start()
    meta = site.cache.store.read_meta(TABLE_ID)
    assert (meta.graph_id, meta.timestamp) == (GRAPH_ID, MOMENT)


def test_tasks_delivered_twice_and_late_leave_the_same_rows_and_counts(site: Site, tmp_path: Path) -> None:
    site.start()
    site.drain(twice=True)
    assert site.cache.rows() == undisturbed_rows(tmp_path)
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS


def one_leaf_run(site: Site) -> Run:
    """A run that is a single leaf, each chunk of which takes seven seconds to read."""
    run = Run(GRAPH_ID, TABLE_ID, MOMENT, Box((0, 0, 0), GEOMETRY.grid_shape), CHUNKS, site.clock())
    site.cache.store.create_table(TABLE_ID, TableMeta(GRAPH_ID, "graphene://graph", MOMENT))
    Ledger(site.cache.store, TABLE_ID).write_run(run)
    site.cache.volume.fail = lambda _: site.clock.sleep(7.0)
    return run


def test_a_leaf_that_nears_its_deadline_hands_the_rest_on(tmp_path: Path) -> None:
    site = Site(tmp_path, budget_s=30.0)
    run = one_leaf_run(site)
    outcome = site.leaf.compute_block(BlockTask(run, run.block).to_task().body)
    assert 0 < outcome.chunks < CHUNKS
    assert outcome.left == CHUNKS - outcome.chunks
    assert site.ingest.status(GRAPH_ID).completed_chunks == outcome.chunks
    site.drain()
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS
    assert sorted(site.cache.rows()) == sorted(site.cache.graph.members)


def test_a_leaf_delivered_twice_with_other_deadlines_counts_no_chunk_twice(tmp_path: Path) -> None:
    site = Site(tmp_path)
    run = one_leaf_run(site)
    body = BlockTask(run, run.block).to_task().body
    for budget_s in (30.0, 60.0, 10.0):
        replace(site.leaf, budget_s=budget_s).compute_block(body)
    site.drain()
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS


def test_a_chunk_that_fails_for_good_is_listed_and_the_rest_goes_on(site: Site) -> None:
    site.cache.volume.fail = failing(VolumeUnavailableError("the storage coughs"), (1, 1, 1))
    site.start()
    site.drain()
    status = site.ingest.status(GRAPH_ID)
    assert (status.completed_chunks, status.failed_chunks, status.finished) == (CHUNKS - 1, 1, True)
    assert failures(site) == {(1, 1, 1): "the storage coughs"}


def test_a_chunk_that_fails_once_is_tried_again_at_once(site: Site) -> None:
    coughs = iter([VolumeUnavailableError("the storage coughs")])

    def fail(coordinate: tuple[int, int, int]) -> None:
        if coordinate == (1, 1, 1):
            for error in coughs:
                raise error

    site.cache.volume.fail = fail
    site.start()
    site.drain()
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS
    assert failures(site) == {}


def test_a_batch_that_fails_once_is_tried_again_after_one_pause(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(GRAPH_ID, TABLE_ID, MOMENT, Box((0, 0, 0), GEOMETRY.grid_shape), CHUNKS, site.clock(), batch_chunks=64)
    site.cache.store.create_table(TABLE_ID, TableMeta(GRAPH_ID, "graphene://graph", MOMENT))
    coughs, mapped = iter([GraphUnavailableError("the graph coughs")]), site.cache.graph.l2_of_supervoxels

    def l2_of_supervoxels(supervoxels: UInt64Array, timestamp: datetime | None) -> L2Mapping:
        for error in coughs:
            raise error
        return mapped(supervoxels, timestamp)

    monkeypatch.setattr(site.cache.graph, "l2_of_supervoxels", l2_of_supervoxels)
    start_s = site.clock()
    outcome = site.leaf.compute_block(BlockTask(run, run.block).to_task().body)
    assert (outcome.chunks, outcome.failed, outcome.left) == (CHUNKS, 0, 0)
    assert site.clock() - start_s == BACK_OFF_S
    assert sorted(site.cache.rows()) == sorted(site.cache.graph.members)


def test_chunks_are_not_tried_again_when_the_time_is_over(tmp_path: Path) -> None:
    site = Site(tmp_path, budget_s=10.0)
    run = one_leaf_run(site)

    asked: list[tuple[int, int, int]] = []

    def cough(coordinate: tuple[int, int, int]) -> None:
        asked.append(coordinate)
        site.clock.sleep(7.0)
        if coordinate != (0, 0, 0):
            raise VolumeUnavailableError("the storage coughs")

    site.cache.volume.fail = cough
    outcome = site.leaf.compute_block(BlockTask(run, run.block).to_task().body)
    assert outcome.failed == outcome.chunks - 1 > 0
    assert len(asked) == len(set(asked))


def test_an_outage_is_left_to_the_queue_and_nothing_counts_as_failed(site: Site) -> None:
    outage = failing(VolumeUnavailableError("the storage is down"))
    site.cache.volume.fail = outage
    attempts = []

    def before_leaf(lease: Lease) -> None:
        attempts.append(lease.attempt)
        if lease.attempt == 3:
            site.cache.volume.fail = lambda _: None

    site.before_leaf = before_leaf
    site.start()
    site.drain()
    assert max(attempts) == 3
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS


def test_a_leaf_whose_chunks_never_work_is_given_up_with_its_reasons(site: Site) -> None:
    site.cache.volume.fail = failing(VolumeUnavailableError("gone"))
    site.start()
    site.drain()
    assert site.ingest.status(GRAPH_ID).failed_chunks == CHUNKS
    assert set(failures(site).values()) == {"gone"}


def test_failed_chunks_and_only_they_are_done_again_on_request(site: Site) -> None:
    site.cache.volume.fail = failing(L2CacheError("odd"), (0, 0, 0))
    site.start()
    site.drain()
    assert failures(site) == {(0, 0, 0): "odd"}
    site.cache.volume.fail = lambda _: None
    site.cache.volume.reads.clear()
    assert not site.ingest.retry(GRAPH_ID).finished
    site.drain()
    assert site.cache.volume.reads == [(0, 0, 0)]
    assert failures(site) == {}
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS


def test_without_the_table_a_leaf_is_delivered_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = site.start()

    def away(*_: object) -> None:
        raise StorageUnavailableError("the table is away")

    monkeypatch.setattr(site.cache.store, "write_features", away)
    with pytest.raises(StorageUnavailableError):
        site.leaf.compute_block(BlockTask(run, next(leaves(run.block, run.leaf_chunks))).to_task().body)
    assert site.ingest.status(GRAPH_ID).completed_chunks == 0


def test_starting_a_run_that_is_going_on_is_refused_and_a_finished_one_is_left_alone(site: Site) -> None:
    first = site.start()
    with pytest.raises(RunConflictError, match="going on"):
        site.start()
    site.drain()
    assert site.start() == first
    assert site.waiting() == 0


def test_another_run_is_refused_until_the_first_is_finished(site: Site) -> None:
    run = site.start(test=True)
    with pytest.raises(RunConflictError, match=run.run_id):
        site.start()
    site.drain()
    site.start()
    site.drain()
    assert [other.total_chunks for other in site.ingest.runs(GRAPH_ID)] == [8, CHUNKS]


def test_a_table_of_another_graph_is_refused(site: Site) -> None:
    site.start()
    dataset = site.cache.datasets.get(GRAPH_ID)
    site.cache.store.create_table("l2cache_other", TableMeta("other", dataset.cv_path, MOMENT))
    datasets = Datasets({GRAPH_ID: replace(dataset, l2cache_id="l2cache_other")})
    with pytest.raises(RunConflictError, match="other"):
        replace(site.ingest, datasets=datasets).start(StartRequest(GRAPH_ID, MOMENT))


def test_the_rate_is_that_of_the_last_minute_while_running_and_of_the_whole_when_finished(site: Site) -> None:
    site.start()
    leases = []
    while lease := site.deliveries.lease(1, time.time() + 1):
        leases += lease
        if lease[0].kind == "ingest":
            site.deliver(lease[0])
    leaves = [lease for lease in leases if lease.kind == "compute"]
    site.deliver(leaves[0])
    site.clock.now_s += 50.0
    site.deliver(leaves[1])
    assert site.ingest.status(GRAPH_ID).chunks_per_s == pytest.approx(2 / 50.0)
    site.clock.now_s += 50.0
    for lease in leaves[2:]:
        site.deliver(lease)
    site.clock.now_s += 1000.0
    status = site.ingest.status(GRAPH_ID)
    assert status.finished
    assert status.chunks_per_s == pytest.approx(CHUNKS / 100.0)


def test_unknown_datasets_and_runs_are_named(site: Site) -> None:
    with pytest.raises(UnknownDatasetError, match="nope"):
        site.ingest.start(StartRequest("nope", MOMENT))
    site.start()
    with pytest.raises(UnknownRunError, match="yesterday"):
        site.ingest.status(GRAPH_ID, "yesterday")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"run": 1, "block": "0_0_0-1_1_1", "part": 0}', b"\xff", b'{"run": {}}']
)
def test_what_is_no_task_is_refused(site: Site, body: bytes) -> None:
    with pytest.raises(BadRequestError):
        site.leaf.compute_block(body)
    with pytest.raises(BadRequestError):
        site.ingest.expand(body)


def test_a_block_outside_its_run_is_refused(site: Site) -> None:
    run = site.start()
    body = BlockTask(run, Box((0, 0, 0), (99, 1, 1))).to_task().body
    with pytest.raises(BadRequestError, match="99_1_1"):
        site.leaf.compute_block(body)
