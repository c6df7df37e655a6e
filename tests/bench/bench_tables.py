"""How long a DataFrame of nodes takes: `python -m tests.bench.bench_tables [--emulators] [--rounds N] [--record]`.

CAVEclient's `get_l2data_table` against tables in Arrow and CSV, from the same look-up function, all attributes, on the
embedded stack, and on Google's Bigtable emulator if it is asked for. The table has PCGL2Cache's recorded rows, and
copies of them under ids of other segments of the same chunks. In a column of its own stands what passes until the
answer is there.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import requests
from caveclient.auth import AuthClient
from caveclient.l2cache import L2CacheClient

from infra.local.backing import embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.local.stack import LocalStack
from infra.measurements.goals import at_least
from infra.measurements.record import Table, measuring, record_option
from shared.attributes import ATTRIBUTES
from shared.features.result import Features
from shared.store.protocol import TableMeta
from shared.store.sqlite import SQLiteStore
from shared.types import UInt64Array
from tests.bench.bench_lookup import CACHE_DUMP, SEGMENTS_APART, fill_table
from tests.bench.options import data_option
from tests.support.data.real_stack import GRAPH, TABLE, served_graph
from tests.support.data.recorded_rows import recorded_rows

GOAL = 4.0
EMBEDDED, EMULATORS = "SQLite", "Bigtable emulator"
ENCODINGS = {"Arrow": "identity", "Arrow, lz4": "lz4", "Arrow, zstd": "zstd", "CSV, gzip": "gzip"}


def fill_file(dump: Path, file: Path, n_rows: int) -> UInt64Array:
    """Writes the recorded rows to a SQLite store, and copies until it has so many; the ids of all: uint64[n_rows]."""
    rows = {l2_id: row for l2_id, row in recorded_rows(dump).items() if "rep_coord_nm" in row}
    own = np.array(list(rows), dtype=np.uint64)
    columns = {}
    for attribute in ATTRIBUTES:
        cells = [row.get(attribute.name, b"")[: attribute.n_bytes] or bytes(attribute.n_bytes) for row in rows.values()]
        columns[attribute.name] = np.frombuffer(b"".join(cells), attribute.dtype).reshape(-1, *attribute.shape)
    columns["has_pca"] = np.array(["pca" in row for row in rows.values()])
    ids = [own + np.uint64(copy * SEGMENTS_APART) for copy in range(-(-n_rows // len(own)))]
    store = SQLiteStore(file)
    meta = TableMeta(GRAPH, "graphene://http://x/segmentation/table/x", datetime(2026, 1, 1, tzinfo=UTC))
    store.create_table(TABLE, meta)
    for copies in ids:
        store.write_features(TABLE, Features(copies, columns))
    store.close()
    return np.concatenate(ids)[:n_rows]


def caveclient_table(url: str, ids: UInt64Array) -> tuple[float, pd.DataFrame]:
    """Seconds until CAVEclient has the answer, and its table."""
    client = L2CacheClient(url, table_name=GRAPH, auth_client=AuthClient(token="none"))  # noqa: S106
    start_s = time.perf_counter()
    answer = client.get_l2data(ids)
    answered_s = time.perf_counter() - start_s
    client.get_l2data = lambda *_, **__: answer
    return answered_s, client.get_l2data_table(ids)


def table(url: str, ids: UInt64Array, form: str, encoding: str) -> tuple[float, pd.DataFrame]:
    """Seconds until the answer is there, and the table in it."""
    start_s = time.perf_counter()
    response = requests.post(
        f"{url}/l2cache/api/v1/table/{GRAPH}/attributes?format={form}",
        data=ids.astype("<u8").tobytes(),
        headers={"Content-Type": "application/octet-stream", "Accept-Encoding": encoding},
        timeout=300,
    )
    response.raise_for_status()
    answered_s = time.perf_counter() - start_s
    if form == "csv":
        return answered_s, pd.read_csv(io.BytesIO(response.content))
    return answered_s, pa.ipc.open_stream(response.content).read_pandas()


def report(kept: Table, stack: str, url: str, ids: UInt64Array, rounds: int) -> None:
    """Measures all ways in turns; the fastest of each becomes a row."""
    ways: dict[str, Callable[[], tuple[float, pd.DataFrame]]] = {
        "get_l2data_table": lambda: caveclient_table(url, ids),
        **{
            name: lambda name=name, encoding=encoding: table(url, ids, name.split(",")[0].lower(), encoding)
            for name, encoding in ENCODINGS.items()
        },
    }
    times = {name: np.full((rounds, 2), np.inf) for name in ways}
    for turn in range(rounds):
        for name, way in ways.items():
            start_s = time.perf_counter()
            answered_s, frame = way()
            times[name][turn] = answered_s, time.perf_counter() - start_s
            if len(frame) != len(ids):
                raise AssertionError(f"{name}: {len(frame)} rows of {len(ids)} ids")
    theirs = times["get_l2data_table"][:, 1].min()
    for name, measured in times.items():
        answered_s, whole_s = measured.min(axis=0)
        kept.add(stack=stack, way=name, answer_s=answered_s, frame_s=whole_s, faster=theirs / whole_s)
    ratio = theirs / min(times[name][:, 1].min() for name in ENCODINGS if name.startswith("Arrow"))
    at_least(f"{len(ids):,} nodes as a DataFrame through Arrow, times as fast, {stack}", float(ratio), GOAL)


def measure_on(kept: Table, stack_name: str, options: argparse.Namespace) -> None:
    """Fills a stack's table and measures all ways."""
    dump, on_emulators = options.data / CACHE_DUMP, stack_name == EMULATORS
    backing = EmulatorBacking() if on_emulators else embedded
    with tempfile.TemporaryDirectory() as place:
        state = Path(place)
        with LocalStack(state, graph=served_graph(options.data), workers=1, backing=backing) as stack:
            if on_emulators:
                with patch.dict(os.environ, stack.services.environment):
                    ids = fill_table(dump, options.ids)
            else:
                ids = fill_file(dump, state / "cache.db", options.ids)
            report(kept, stack_name, stack.lookup_url, np.sort(ids), options.rounds)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    data_option(parser)
    parser.add_argument("--ids", type=int, default=100_000)
    parser.add_argument("--emulators", action="store_true", help="on the Bigtable emulator too")
    parser.add_argument("--rounds", type=int, default=2)
    record_option(parser)
    options = parser.parse_args()
    with measuring("tables", record=options.record) as kept:
        for stack_name in (EMBEDDED, EMULATORS) if options.emulators else (EMBEDDED,):
            measure_on(kept, stack_name, options)


if __name__ == "__main__":
    main()
