"""The real data set, ingested by the local stack once for all tests that only ask for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.stack import LocalStack
from tests.support.data.real_stack import GRAPH, served_graph
from tests.support.data.recorded_rows import Row, recorded_rows
from tests.support.stack.client import start_ingest, status, wait_until
from tests.support.stack.ports import take_free_ports


@pytest.fixture(scope="session")
def real_stack(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack over the graph as it is after the merge; the moment before the merge is ingested."""
    with LocalStack(take_free_ports(tmp_path_factory.mktemp("real")), graph=served_graph(shared_data)) as stack:
        start_ingest(stack.ingest_url, GRAPH)
        wait_until(lambda: status(stack.ingest_url, GRAPH)["finished"], "the ingest of 128 chunks")
        yield stack


@pytest.fixture(scope="session")
def ingested(shared_data: Path) -> dict[int, Row]:
    """PCGL2Cache's rows of the same ingest."""
    return recorded_rows(shared_data / "tables" / "cache_ingested.ndjson.gz")


@pytest.fixture(scope="session")
def merged(shared_data: Path, ingested: dict[int, Row]) -> dict[int, Row]:
    """PCGL2Cache's rows of the L2 ids that the recorded merge made."""
    after = recorded_rows(shared_data / "tables" / "cache_after_merge.ndjson.gz")
    return {l2_id: row for l2_id, row in after.items() if l2_id not in ingested}
