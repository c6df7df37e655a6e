"""How fast exports and imports are: `python -m tests.bench.bench_exports [--data DIR] [--copies N] [--rounds N]`.

The rows of the table that PCGL2Cache wrote are multiplied (further nodes in the same chunks), written to a SQLite file
and to Google's Bigtable emulator, exported to Parquet and imported again. From SQLite the seconds are the processor's
of this process. The emulator works in a process of its own, so there they are those of the clock, beside a scan that
finds no more than the ids.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.local.emulators import bigtable_emulator
from infra.measurements.goals import at_least
from infra.measurements.record import measuring, record_option
from shared.attributes import ATTRIBUTES
from shared.geometry.grid import Box, GraphGeometry
from shared.geometry.ids import l2_id_range
from shared.google.bigtable.clients import DataClients
from shared.ingest.blocks import chunks
from shared.store.bigtable import BigtableStore
from shared.store.protocol import CacheStore, TableMeta
from shared.store.rows import StoredRows
from shared.store.scan import IdRange
from shared.store.sqlite import SQLiteStore
from shared.table.parquet import decode_parquet, encode_parquet
from shared.table.row_columns import row_columns, rows_of_columns
from tests.bench.options import data_option
from tests.support.data.cache_dumps import restore

TABLE, COPY = "bench", "bench_copy"
CHUNKS_AT_ONCE = 16
GOAL_ROWS_PER_S = 200_000


def multiplied(rows: StoredRows, copies: int) -> StoredRows:
    """Rows with so many times as many nodes in the same chunks."""
    ids = np.concatenate([rows.l2_ids + np.uint64(100_000 * turn) for turn in range(copies)])
    order = np.argsort(ids)
    places = np.tile(np.arange(len(rows)), copies)[order]
    return replace(
        rows,
        l2_ids=ids[order],
        written_us=rows.written_us[places],
        values={name: values[places] for name, values in rows.values.items()},
        lengths={name: lengths[places] for name, lengths in rows.lengths.items()},
    )


def export(store: CacheStore, ranges: Sequence[IdRange], geometry: GraphGeometry) -> bytes:
    """All rows as one file."""
    attributes = ATTRIBUTES.attributes
    return encode_parquet(
        [row_columns(store.scan_rows(TABLE, part), attributes, geometry, is_whole=True) for part in parts(ranges)]
    )


def parts(ranges: Sequence[IdRange]) -> list[Sequence[IdRange]]:
    """The ranges that are scanned together."""
    return [ranges[start : start + CHUNKS_AT_ONCE] for start in range(0, len(ranges), CHUNKS_AT_ONCE)]


def import_(content: bytes, store: CacheStore, geometry: GraphGeometry) -> None:
    """Writes the rows of a file into the copy."""
    for columns in decode_parquet(content):
        for rows in rows_of_columns(columns, ATTRIBUTES, geometry):
            store.write_rows(COPY, rows)


def fastest(work: Callable[[], object], rounds: int, clock: Callable[[], float]) -> float:
    """Seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(rounds):
        start_s = clock()
        work()
        seconds.append(clock() - start_s)
    return min(seconds)


def main() -> None:
    """Prints a line for each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    record_option(parser)
    options = parser.parse_args()
    geometry = GraphGeometry.from_info(json.loads((options.data / "graphene_info.json").read_text()))
    ranges = [l2_id_range(chunk, geometry.layout) for chunk in chunks(Box((0, 0, 0), geometry.grid_shape))]
    with tempfile.TemporaryDirectory() as name, closing(SQLiteStore(Path(name) / "real.db")) as real:
        table = restore(options.data / "tables" / "cache_after_merge.ndjson.gz", real)
        rows, meta = multiplied(real.scan_rows(table, ranges), options.copies), real.read_meta(table)
        with measuring("exports", record=options.record) as measured:
            with closing(SQLiteStore(Path(name) / "many.db")) as store:
                line = measure(store, rows, meta, ranges, geometry, options.rounds, time.process_time)
            measured.add(store="SQLite file", rows=len(rows), goal=f"{GOAL_ROWS_PER_S:,}/s", **line)
            at_least("export from SQLite into a file", line["export_per_s"], GOAL_ROWS_PER_S, "rows/s")
            with bigtable_emulator() as emulator:
                os.environ.update(emulator.environment)
                with closing(BigtableStore("bench", "bench", DataClients())) as cloud:
                    few = multiplied(real.scan_rows(table, ranges), 4)
                    line = measure(cloud, few, meta, ranges, geometry, options.rounds, time.perf_counter)
                    measured.add(store="Bigtable emulator", rows=len(few), goal=None, **line)


def measure(
    store: CacheStore,
    rows: StoredRows,
    meta: TableMeta,
    ranges: Sequence[IdRange],
    geometry: GraphGeometry,
    rounds: int,
    clock: Callable[[], float],
) -> dict[str, float]:
    """Writes rows, exports and imports them.

    Raises:
      AssertionError: if the copy has other rows.
    """
    for name in (TABLE, COPY):
        store.create_table(name, meta)
    store.write_rows(TABLE, rows)
    content = export(store, ranges, geometry)
    scan_s = fastest(lambda: [store.scan_ids(TABLE, part) for part in parts(ranges)], rounds, clock)
    export_s = fastest(lambda: export(store, ranges, geometry), rounds, clock)
    import_s = fastest(lambda: import_(content, store, geometry), 1, clock)
    copied = store.scan_rows(COPY, ranges)
    if list(copied.rows()) != list(rows.rows()):
        raise AssertionError("the import differs")
    n = len(rows)
    return {
        "scan_per_s": n / scan_s,
        "export_per_s": n / export_s,
        "import_per_s": n / import_s,
    }


if __name__ == "__main__":
    main()
