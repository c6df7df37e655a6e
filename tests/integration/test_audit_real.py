"""An audit of the table that PCGL2Cache wrote: no marks of ours in it, and a graph server over the real graph."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from infra.standin.graph.server import GraphFiles, make_graph_server
from shared.compute.service import ComputeService
from shared.config.datasets import Dataset, Datasets
from shared.geometry.grid import Box
from shared.graph.address import GraphAddress
from shared.graph.server import GraphServer
from shared.graph.transport import GraphTransport
from shared.ingest.audit import AuditOptions
from shared.ingest.blocks import chunks
from shared.ingest.kind import RunKind
from shared.ingest.leaf.kinds import work_on_chunks
from shared.ingest.run import Run
from shared.store.sqlite import SQLiteStore
from shared.telemetry.log import StepTimer
from shared.volume.cloudvolume import Volumes
from tests.support.data.cache_dumps import restore

N_ROWS = 12_174


class OneGraph:
    """`GraphSource` of a single graph."""

    def __init__(self, graph: GraphServer) -> None:
        self._graph = graph

    def get(self, _dataset: Dataset) -> GraphServer:
        """As `GraphSource.get`."""
        return self._graph


def test_the_table_that_pcgl2cache_wrote_is_whole_but_for_what_the_edit_made_later(
    shared_data: Path, tmp_path: Path
) -> None:
    dump, info = shared_data / "tables" / "graph_after_merge.ndjson.gz", shared_data / "graphene_info.json"
    server = make_graph_server(GraphFiles(dump, info), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        cv_path = f"graphene://http://127.0.0.1:{server.server_port}/segmentation/table/rig_graph"
        graph = GraphServer(GraphAddress.parse(cv_path), GraphTransport(None, 30.0, 3))
        with closing(SQLiteStore(tmp_path / "cache.db")) as store:
            table = restore(shared_data / "tables" / "cache_after_merge.ndjson.gz", store)
            datasets = Datasets({"rig_graph": Dataset("rig_graph", cv_path, table)})
            service = ComputeService(datasets, store, OneGraph(graph), Volumes())
            run = Run(
                "rig_graph", table, datetime(2026, 6, 1, tzinfo=UTC), Box((0, 0, 0), (4, 4, 8)), 128, 1.0,
                kind=RunKind.AUDIT, options=AuditOptions().document(),
            )  # fmt: skip
            results = list(work_on_chunks(service, run, chunks(run.block), StepTimer(), 16))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [result.error for result in results] == [None] * 128
    total: dict[str, int] = {}
    for result in results:
        for name, count in result.counts.items():
            total[name] = total.get(name, 0) + count
    assert total == {"l2_ids": N_ROWS, "rows": N_ROWS, "of_other_moments": 7}
