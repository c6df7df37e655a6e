"""An ingest run: what is to be done, as its mark and its tasks carry it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from shared.errors import BadRequestError
from shared.geometry import Box, as_triple
from shared.ingest.blocks import ONE_CHUNK, block_name, parse_block
from shared.types import Triple

TIMESTAMP_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Run:
    """One ingest of (part of) a dataset at one moment of its graph.

    Attributes:
      graph_id: the dataset.
      table_id: its cache table.
      timestamp: the moment of the graph; aware, UTC, whole seconds.
      block: the chunks to do.
      leaf_chunks: most chunks in a leaf task.
      started_s: when it was started, Unix time.
      unit: chunks per file of the volume along each axis; blocks are cut between files where that is possible.
      batch_chunks: most chunks that go through the steps of a leaf together.
      generation: how often it was resumed or its failures tried again; tasks of older generations are obsolete.
      resumed_s: when the present generation was started, Unix time.
      retry_from: chunks that failed in a generation before this one are to be done again.
    """

    graph_id: str
    table_id: str
    timestamp: datetime
    block: Box
    leaf_chunks: int
    started_s: float
    unit: Triple = ONE_CHUNK
    batch_chunks: int = 1
    generation: int = 0
    resumed_s: float = 0.0
    retry_from: int = 0

    @property
    def run_id(self) -> str:
        """Name of the run, a function of timestamp and block: starting the same ingest twice is the same run."""
        return f"{self.timestamp:%Y%m%dT%H%M%S}-{block_name(self.block)}"

    def next_generation(self, now_s: float, *, retry_failed: bool) -> Run:
        """The same run with new names for its tasks: a queue takes no name twice, and old tasks may still wait.

        Args:
          now_s: Unix time.
          retry_failed: whether the chunks that failed are to be done again.
        """
        generation = self.generation + 1
        retry_from = generation if retry_failed else self.retry_from
        return replace(self, generation=generation, resumed_s=now_s, retry_from=retry_from)

    def to_json(self) -> bytes:
        """The run as the JSON of its mark and of its tasks."""
        return json.dumps(self.document()).encode()

    def document(self) -> dict[str, Any]:
        """The run in JSON's types."""
        return {
            "graph_id": self.graph_id,
            "table_id": self.table_id,
            "timestamp": self.timestamp.strftime(TIMESTAMP_FORMAT),
            "block": block_name(self.block),
            "leaf_chunks": self.leaf_chunks,
            "started_s": self.started_s,
            "unit": list(self.unit),
            "batch_chunks": self.batch_chunks,
            "generation": self.generation,
            "resumed_s": self.resumed_s,
            "retry_from": self.retry_from,
        }

    @classmethod
    def from_json(cls, raw: bytes | str | Mapping[str, Any]) -> Run:
        """The inverse of `to_json`; a decoded document is taken as well.

        Raises:
          BadRequestError: if it is no run; the message names what is wrong.
        """
        try:
            document = raw if isinstance(raw, Mapping) else json.loads(raw)
            return cls(
                graph_id=str(document["graph_id"]),
                table_id=str(document["table_id"]),
                timestamp=datetime.strptime(document["timestamp"], TIMESTAMP_FORMAT).replace(tzinfo=UTC),
                block=parse_block(document["block"]),
                leaf_chunks=int(document["leaf_chunks"]),
                started_s=float(document["started_s"]),
                unit=as_triple(document["unit"]),
                batch_chunks=int(document["batch_chunks"]),
                generation=int(document["generation"]),
                resumed_s=float(document["resumed_s"]),
                retry_from=int(document["retry_from"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequestError(f"not an ingest run: {error!r}") from error
