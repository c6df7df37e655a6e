"""Tasks that nobody of ours made: every field is checked, and a bad one costs nothing but an error that names it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadRequestError
from shared.geometry.grid import Box
from shared.ingest.blocks import block_name, leaves
from shared.ingest.run import Run
from shared.ingest.task import BlockTask
from tests.support.graph.small import GEOMETRY, GRAPH_ID, META, TABLE_ID
from tests.support.ingest_site import MOMENT, Site

RUN = Run(GRAPH_ID, TABLE_ID, MOMENT, Box((0, 0, 0), GEOMETRY.grid_shape), 4, 1_800_000_000.0)
LEAF = block_name(next(leaves(RUN.block, RUN.leaf_chunks)))
HUGE = "0_0_0-262144_262144_262144"


def forged(**fields: Any) -> bytes:
    """A task's body whose run has other fields; those that start with `task_` are of the task itself."""
    own = {name.removeprefix("task_"): value for name, value in fields.items() if name.startswith("task_")}
    run = {**RUN.document(), **{name: value for name, value in fields.items() if not name.startswith("task_")}}
    return json.dumps({"run": run, "block": LEAF, "part": 0, **own}).encode()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (forged(leaf_chunks=0), "leaf_chunks"),
        (forged(leaf_chunks=-1), "leaf_chunks"),
        (forged(leaf_chunks=10**30), "leaf_chunks"),
        (forged(leaf_chunks=2.5), "leaf_chunks"),
        (forged(leaf_chunks=True), "leaf_chunks"),
        (forged(batch_chunks=0), "batch_chunks"),
        (forged(batch_chunks=10**9), "batch_chunks"),
        (forged(unit=[0, 0, 0]), "unit"),
        (forged(unit=[1, 1]), "unit"),
        (forged(unit="111"), "unit"),
        (forged(unit=None), "unit"),
        (forged(started_s=float("inf")), "JSON"),
        (forged(started_s=float("nan")), "JSON"),
        (forged(started_s=1e300), "started_s"),
        (forged(started_s=10**400), "started_s"),
        (forged(resumed_s=-(10**400)), "resumed_s"),
        (forged(resumed_s=-1), "resumed_s"),
        (forged(generation=-1), "generation"),
        (forged(generation=10**40), "generation"),
        (forged(retry_from=1), "retry_from"),
        (forged(timestamp="226-06-01 00:00:00"), "timestamp"),
        (forged(timestamp="0001-01-01T00:00:00+23:59"), "timestamp"),
        (forged(timestamp=5), "timestamp"),
        (forged(block="0_0_0-0_1_1"), "empty"),
        (forged(block="-1_0_0-1_1_1"), "not a block"),
        (forged(block="0_0_0-" + "9" * 5000 + "_1_1"), "not a block"),
        (forged(block="0_0_0-٣_1_1"), "not a block"),
        (forged(block=HUGE.replace("262144", "262145")), "impossible"),
        (forged(block=7), "block"),
        (forged(attributes=7), "attributes"),
        (forged(attributes="box_nm"), "attributes"),
        (forged(attributes=[["box_nm"]]), "attributes"),
        (forged(graph_id=""), "graph_id"),
        (forged(graph_id="other"), "configured"),
        (forged(table_id="other"), "configured"),
        (forged(task_block="0_0_0-9_9_9"), "no part"),
        (forged(task_block="0_0_0-1_1_1"), "block 0_0_0-1_1_1 is no leaf of run"),
        (forged(task_block="1_0_0-2_2_1"), "block 1_0_0-2_2_1 is no leaf of run"),
        (forged(leaf_chunks=18), f"block {LEAF} is no leaf of run"),
        (forged(unit=[2, 1, 1]), f"block {LEAF} is no leaf of run"),
        (forged(task_part=-1), "part"),
        (forged(task_part=4), "part"),
        (forged(task_part="0"), "part"),
        (forged(task_run=None), "run"),
        (forged(task_run=[]), "run"),
        (forged(kind="audit", options={"repair": "x" * 90_000}), "at most 16384 bytes"),
        (forged(attributes=["x" * 90_000]), "at most 16384 bytes"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"run": ' * 50_000, "nested too deeply"),
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "object"),
        (b'{"part": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, body: bytes, named: str) -> None:
    site = Site(tmp_path)
    for handle in (site.leaf.compute_block, site.ingest.expand):
        with pytest.raises(BadRequestError, match=named) as error:
            handle(body)
        assert len(str(error.value)) < 400


def test_a_leaf_is_not_expanded_and_a_large_block_not_computed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with pytest.raises(BadRequestError, match="no leaf task"):
        site.leaf.compute_block(forged(block=HUGE, task_block=HUGE))
    with pytest.raises(BadRequestError, match="no expand task"):
        site.ingest.expand(forged())


BEYOND_IDS = "300_0_0-301_1_1"
OPTIONS: dict[str, dict[str, Any]] = {
    "ingest": {},
    "audit": {"repair": True, "verify": 2**53, "rows": 1},
    "export": {"at_moment": True},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_chunk_that_no_id_can_name_fails_with_its_reason(tmp_path: Path, kind: str) -> None:
    site = Site(tmp_path)
    site.cache.store.create_table(TABLE_ID, META)
    options = {"destination": f"file://{tmp_path.resolve()}/exports/one", **OPTIONS[kind]}
    body = forged(block=BEYOND_IDS, task_block=BEYOND_IDS, kind=kind, options=options)
    assert site.leaf.compute_block(body).failed == 1


def test_the_largest_block_is_expanded_at_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cache.store.create_table(TABLE_ID, META)
    start_s = time.perf_counter()
    assert site.ingest.expand(forged(block=HUGE, task_block=HUGE, leaf_chunks=1)) <= 3 * 256
    assert time.perf_counter() - start_s < 60


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("0_0_0-1_1_1"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(RUN.document())), json_values), json_values, json_values)
def test_whatever_is_in_the_fields_is_a_task_or_a_bad_request(fields: dict[str, Any], block: Any, part: Any) -> None:
    try:
        task = BlockTask.from_body(forged(**fields, task_block=block, task_part=part))
    except BadRequestError:
        return
    assert BlockTask.from_body(task.to_task().body) == task
