"""How many rows there are, before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shared.geometry.ids import l2_id_ranges
from shared.ingest.blocks import chunk_at
from shared.ingest.run import Run

if TYPE_CHECKING:
    from shared.geometry.grid import GraphGeometry
    from shared.ingest.control.service import IngestService

COUNTED_CHUNKS = 64
"""So many chunks are counted; an estimate needs no more."""


def count_rows(service: IngestService, run: Run, geometry: GraphGeometry) -> int:
    """How many rows the chunks of a run have: exact for few chunks, else by as many at random.

    Raises:
      TableNotFoundError: if there is no table.
    """
    volume = run.block.volume
    random = np.random.default_rng(int(run.started_s * 1000))
    numbers = np.sort(random.choice(volume, min(volume, COUNTED_CHUNKS), replace=False))
    ranges = l2_id_ranges([chunk_at(run.block, number) for number in numbers.tolist()], geometry.layout)
    return round(len(service.store.scan_ids(run.table_id, ranges).l2_ids) * volume / len(numbers))
