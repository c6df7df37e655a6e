"""The real data set through the emulators of Bigtable, Pub/Sub and Cloud Tasks, compared with what PCGL2Cache wrote."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from google.cloud.bigtable.data import BigtableDataClient, DeleteAllFromRow, RowMutationEntry

from infra.local.emulator_backing import INSTANCE, PROJECT, EmulatorBacking
from infra.local.stack import LocalStack
from infra.standin.bigtable_dump import restore_dump
from shared.bus.open import open_bus
from shared.geometry.ids import node_key
from shared.google.bigtable.address import TableAddress
from tests.support.data.real_stack import (
    GRAPH,
    N_CHUNKS,
    N_ROWS,
    TABLE,
    assert_same_but_for_ties,
    graph_dump,
    served_graph,
    stored,
)
from tests.support.data.recorded_rows import Row
from tests.support.stack.client import look_up, start_ingest, status, wait_until
from tests.support.stack.missing_emulators import skipping_without_emulators
from tests.support.stack.ports import take_free_ports

ROOT = Path(__file__).resolve().parents[2]
EVERY = 250


@pytest.fixture(scope="module")
def stack(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack on the emulators, the real graph's table in one of them; Google's clients here are sent to them too."""
    source, backing = served_graph(shared_data), EmulatorBacking(graph_table=GRAPH)
    with ExitStack() as running, pytest.MonkeyPatch.context() as environment:
        with skipping_without_emulators():
            stack = running.enter_context(
                LocalStack(take_free_ports(tmp_path_factory.mktemp("emulators")), graph=source, backing=backing)
            )
        for name, value in stack.services.environment.items():
            environment.setenv(name, value)
        assert stack.services.graph_table is not None
        restore_dump(graph_dump(shared_data), TableAddress.parse(stack.services.graph_table))
        start_ingest(stack.ingest_url, GRAPH)
        wait_until(lambda: status(stack.ingest_url, GRAPH)["finished"], "the ingest of 128 chunks")
        yield stack


def forget(l2_ids: Iterable[int]) -> None:
    """Takes rows out of the cache table."""
    with BigtableDataClient(project=PROJECT) as client, client.get_table(INSTANCE, TABLE) as table:
        table.bulk_mutate_rows([RowMutationEntry(node_key(l2_id), [DeleteAllFromRow()]) for l2_id in l2_ids])


def test_every_row_of_the_ingest_is_pcgl2caches(stack: LocalStack, ingested: dict[int, Row]) -> None:
    run = status(stack.ingest_url, GRAPH)
    assert (run["completed_chunks"], run["failed_chunks"], run["rows"]) == (N_CHUNKS, 0, N_ROWS)
    assert_same_but_for_ties(stack, stored(stack, ingested), ingested)


def test_the_recorded_edit_brings_its_seven_rows(stack: LocalStack, merged: dict[int, Row], shared_data: Path) -> None:
    (message,) = json.loads((shared_data / "messages" / "edit_merge.json").read_text())
    assert not any(look_up(stack.lookup_url, GRAPH, list(merged), update_cache="false").values())
    bus = open_bus(stack.services.edits_bus)
    bus.publish(message["attributes"], base64.b64decode(message["data_base64"]))
    bus.close()

    def served() -> bool:
        return all(look_up(stack.lookup_url, GRAPH, list(merged), update_cache="false").values())

    wait_until(served, "the rows of the edit")
    assert_same_but_for_ties(stack, stored(stack, merged), merged)


def test_misses_appear(stack: LocalStack, ingested: dict[int, Row]) -> None:
    some = sorted(ingested)[::EVERY]
    forget(some)
    assert not any(look_up(stack.lookup_url, GRAPH, some).values())

    def served() -> bool:
        return all(look_up(stack.lookup_url, GRAPH, some, update_cache="false").values())

    wait_until(served, "the missing rows")
    assert_same_but_for_ties(stack, stored(stack, some), {l2_id: ingested[l2_id] for l2_id in some})


def test_a_look_up_that_waits_gets_the_missing_rows_at_once(stack: LocalStack, ingested: dict[int, Row]) -> None:
    some = sorted(ingested)[1::EVERY]
    forget(some)
    assert all(look_up(stack.lookup_url, GRAPH, some, wait="30").values())
    assert_same_but_for_ties(stack, stored(stack, some), {l2_id: ingested[l2_id] for l2_id in some})
    edits_log = (stack.state / "logs" / "edits.log").read_text()
    assert '"kind": "miss"' in edits_log  # they went where edits go


def test_a_missing_emulator_is_named_with_what_to_install(tmp_path: Path) -> None:
    config = tmp_path / "datasets.yaml"
    config.write_text("graph:\n  cv_path: graphene://http://127.0.0.1:9/segmentation/table/graph\n  l2cache_id: t\n")
    command = [sys.executable, "-m", "infra.local.stack", "--emulators", "--config", str(config)]
    done = subprocess.run(
        [*command, "--no-graph-check", "--state", str(tmp_path / "state")],
        cwd=ROOT,
        env={**os.environ, "CLOUDSDK_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "gcloud components install bigtable-emulator" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_graph_table_in_the_cloud_is_not_looked_for_in_the_emulator(tmp_path: Path) -> None:
    config = tmp_path / "datasets.yaml"
    config.write_text(
        "graph:\n  cv_path: graphene://http://127.0.0.1:9/segmentation/table/graph\n  l2cache_id: t\n"
        "  graph_table: bigtable://project/instance/graph\n"
    )
    command = [sys.executable, "-m", "infra.local.stack", "--emulators", "--config", str(config)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "graph_table" in done.stderr
