"""Totals of whole neurons on the emulators: `python -m tests.bench.bench_totals [--roots N] [--record]`.

Neurons with the sizes of real ones (median 18, mean 155, largest 3,146 L2 nodes) lie in the stand-in graph server, and
the rows of their nodes in Google's Bigtable emulator. Asked are 100 that nobody has asked for, and 1,000 that are
remembered.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from flask.testing import FlaskClient

from infra.local.emulators import bigtable_emulator
from infra.measurements.goals import at_most
from infra.measurements.record import measuring, record_option
from infra.standin.graph.app import create_app as create_graph
from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.table import Cell
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.geometry.ids import node_key
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.admin import create_table
from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.mutations import mutate_rows, set_cells
from shared.graph.registry import Graphs
from shared.lookup.http import create_app
from shared.lookup.misses import MissPublisher
from shared.lookup.service import LookupService
from shared.store.open import open_store, open_totals
from shared.types import UInt64Array
from tests.support.graph.servers import serving

PROJECT, INSTANCE, TABLE, GRAPH = "bench", "totals", "l2cache_bench_v1", "bench"
GOAL_NEW_S, GOAL_REMEMBERED_S = 5.0, 0.5
LARGEST = 3_146
MEDIAN, SPREAD = 18.0, 2.16  # of a log-normal distribution whose mean is about 155 once it is cut off
INFO = {
    "data_dir": "file:///none",
    "graph": {"chunk_size": [64, 64, 64], "n_layers": 3, "spatial_bit_masks": {"1": 10, "2": 10, "3": 1}, "cv_mip": 0},
    "scales": [{"resolution": [16, 16, 40], "size": [65_536, 65_536, 65_536], "voxel_offset": [0, 0, 0]}],
}
ROWS_PER_WRITE = 10_000


def neurons(count: int) -> dict[int, UInt64Array]:
    """L2 nodes by root; the first of every hundred is of the largest size."""
    random = np.random.default_rng(1)
    sizes = np.minimum(np.exp(random.normal(np.log(MEDIAN), SPREAD, count)).astype(int) + 1, LARGEST)
    sizes[::100] = LARGEST
    ids = (2 << 56) + (random.permutation(int(sizes.sum())).astype(np.uint64) << np.uint64(26)) + np.uint64(1)
    parts = np.split(ids.astype(np.uint64), np.cumsum(sizes)[:-1])
    return {(3 << 56) | number: part for number, part in enumerate(parts, 1)}


def graph_app(nodes: dict[int, UInt64Array]) -> Any:
    """The stand-in graph server over roots whose branches skip all layers between."""
    cells = [
        Cell(f"{root:020d}", "0", "children", 1_000_000, ids.astype("<u8").tobytes()) for root, ids in nodes.items()
    ]
    editor: Any = None
    return create_graph(GRAPH, ChunkedGraph(INFO, cells), editor)


def fill(clients: DataClients, nodes: dict[int, UInt64Array]) -> None:
    """Writes the rows of all nodes."""
    create_table(PROJECT, INSTANCE, TABLE, {"0": None})
    name = TableAddress(PROJECT, INSTANCE, TABLE).path
    cells = {
        "size_nm3": np.uint32(1_000).tobytes(),
        "area_nm2": np.uint32(90_000).tobytes(),
        "max_dt_nm": np.uint16(120).tobytes(),
        "rep_coord_nm": np.array([1, 2, 3], "<u2").tobytes(),
    }
    entries = [set_cells(node_key(l2_id), "0", cells) for ids in nodes.values() for l2_id in ids.tolist()]
    for start in range(0, len(entries), ROWS_PER_WRITE):
        mutate_rows(clients.streams(PROJECT), name, entries[start : start + ROWS_PER_WRITE], 120, 120)


class NoBus:
    """Takes what is published."""

    def publish(self, attributes: Any, data: bytes) -> None:
        """Forgets it."""

    def close(self) -> None:
        """Does nothing."""


def client_of(clients: DataClients, folder: Path, graph_url: str) -> FlaskClient:
    """An instance of the function."""
    store, cv_path = f"bigtable://{PROJECT}/{INSTANCE}", f"graphene://{graph_url}/segmentation/table/{GRAPH}"
    (folder / "datasets.yaml").write_text(f"{GRAPH}: {{cv_path: '{cv_path}', l2cache_id: {TABLE}}}\n")
    variables = {
        "L2CACHE_DATASETS": str(folder / "datasets.yaml"),
        "L2CACHE_STORE": store,
        "L2CACHE_GRAPH_TOKEN": "none",
    }
    unused = dict.fromkeys(("L2CACHE_BUS", "L2CACHE_QUEUE"), f"sqlite://{folder}/unused.db")
    settings = Settings.from_environment({**variables, **unused})
    service = LookupService(
        open_store(store, clients=clients), Graphs(settings), MissPublisher(NoBus(), pause_s=60, message_bytes=8_000)
    )
    datasets = Datasets.from_file(settings.datasets_file)
    memory = open_totals(store, clients)
    return create_app(lambda: service, datasets, lambda _: None, settings, memory=lambda: memory).test_client()


def ask(client: FlaskClient, roots: list[int]) -> tuple[float, dict[str, Any]]:
    """Seconds of a request, and its answer."""
    started_s = time.perf_counter()
    answer = client.post(f"/l2cache/api/v1/table/{GRAPH}/totals", json={"node_ids": roots})
    elapsed_s = time.perf_counter() - started_s
    assert answer.status_code == 200, answer.data
    return elapsed_s, json.loads(answer.data)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--roots", type=int, default=1_000)
    record_option(parser)
    options = parser.parse_args()
    nodes = neurons(options.roots)
    roots, sizes = list(nodes), [len(ids) for ids in nodes.values()]
    print(
        f"{len(roots)} neurons: median {np.median(sizes):.0f}, mean {np.mean(sizes):.0f}, largest {max(sizes)} L2 nodes"
    )
    with (
        tempfile.TemporaryDirectory() as name,
        bigtable_emulator(Path(name)) as emulator,
        serving(graph_app(nodes)) as url,
    ):
        os.environ.update(emulator.environment)
        clients = DataClients()
        fill(clients, nodes)
        client = client_of(clients, Path(name), url)
        ask(client, roots[:1])  # loads libraries and connects
        new_s, first = ask(client, roots[100:200])
        assert all(total["complete"] for total in first.values())
        ask(client, roots)
        remembered_s = min(ask(client, roots)[0] for _ in range(3))
        clients.close()
    with measuring("totals", record=options.record) as kept:
        kept.add(what="100 neurons that nobody has asked for", seconds=new_s, goal=f"at most {GOAL_NEW_S:g} s")
        remembered = f"{len(roots):,} neurons that are remembered"
        kept.add(what=remembered, seconds=remembered_s, goal=f"at most {GOAL_REMEMBERED_S:g} s")
    at_most("100 neurons that nobody has asked for", new_s, GOAL_NEW_S, "s")
    at_most(remembered, remembered_s, GOAL_REMEMBERED_S, "s")


if __name__ == "__main__":
    main()
