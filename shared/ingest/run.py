"""An ingest run and its marks: what is written down of it beside the cache table's rows.

Marks are set-cells, so that writing one twice changes nothing:

    run/<run id>                    the run itself
    done/<run id>/<block>/<first>   chunks of a leaf block that are done, from the one numbered `first` on
    failed/<run id>/<x>_<y>_<z>     a chunk that failed for good, and why
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from shared.errors import BadRequestError
from shared.geometry import Box
from shared.ingest.blocks import block_name, parse_block
from shared.types import Triple

TIMESTAMP_FORMAT = "%Y-%m-%d %H:%M:%S"
RATE_WINDOW_S = 60.0


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
    """

    graph_id: str
    table_id: str
    timestamp: datetime
    block: Box
    leaf_chunks: int
    started_s: float

    @property
    def run_id(self) -> str:
        """Name of the run, a function of timestamp and block: starting the same ingest twice is the same run."""
        return f"{self.timestamp:%Y%m%dT%H%M%S}-{block_name(self.block)}"

    def to_json(self) -> bytes:
        """The run as the JSON of its mark and of its tasks."""
        fields = {"graph_id": self.graph_id, "table_id": self.table_id, "block": block_name(self.block)}
        numbers = {"leaf_chunks": self.leaf_chunks, "started_s": self.started_s}
        return json.dumps({**fields, "timestamp": self.timestamp.strftime(TIMESTAMP_FORMAT), **numbers}).encode()

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
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequestError(f"not an ingest run: {error!r}") from error

    @property
    def mark(self) -> str:
        """Key of the run's own mark."""
        return f"run/{self.run_id}"

    @property
    def done_prefix(self) -> str:
        """What the keys of its finished blocks start with."""
        return f"done/{self.run_id}/"

    @property
    def failed_prefix(self) -> str:
        """What the keys of its failed chunks start with."""
        return f"failed/{self.run_id}/"

    def done_mark(self, block: Box, first: int) -> str:
        """Key of the mark of a leaf block's chunks from number `first` on."""
        return f"{self.done_prefix}{block_name(block)}/{first}"

    def failed_mark(self, chunk: Triple) -> str:
        """Key of a failed chunk's mark."""
        return self.failed_prefix + "_".join(map(str, chunk))


@dataclass(frozen=True)
class DoneMark:
    """What the mark of a leaf block says: its chunks from the mark's `first` up to `stop` are done.

    Attributes:
      stop: number of the first chunk of the block that is not done; all of them usually, fewer where a leaf neared its
        deadline and handed the rest on.
      nodes: rows written for them.
      finished_s: when, Unix time.
    """

    stop: int
    nodes: int
    finished_s: float

    def to_json(self) -> bytes:
        """The mark's value."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> DoneMark:
        """The inverse of `to_json`."""
        return cls(**json.loads(raw))


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
      run: the run.
      completed_chunks: chunks whose rows are written.
      failed_chunks: chunks that failed for good.
      nodes: rows written.
      chunks_per_s: over the last minute, or since the start if that is less; over the whole run once it is finished.
    """

    run: Run
    completed_chunks: int
    failed_chunks: int
    nodes: int
    chunks_per_s: float

    @property
    def total_chunks(self) -> int:
        """All chunks of the run."""
        return self.run.block.volume

    @property
    def finished(self) -> bool:
        """Whether every chunk is either completed or failed."""
        return self.completed_chunks + self.failed_chunks >= self.total_chunks

    @classmethod
    def from_marks(cls, run: Run, done: Mapping[str, bytes], failed_chunks: int, now_s: float) -> RunStatus:
        """The status that a run's marks add up to.

        Args:
          run: the run.
          done: all marks under `run.done_prefix`, keys and values.
          failed_chunks: number of marks under `run.failed_prefix`.
          now_s: Unix time.
        """
        pieces = _done_pieces(run, done)
        chunks = sum(n for n, _ in pieces)
        rate = _rate(run, pieces, now_s, finished=chunks >= run.block.volume)
        return cls(run, chunks - failed_chunks, failed_chunks, sum(mark.nodes for _, mark in pieces), rate)


def _done_pieces(run: Run, done: Mapping[str, bytes]) -> list[tuple[int, DoneMark]]:
    """Pairs (number of chunks, mark), no chunk counted twice.

    A block's marks form a chain: each begins where the one before it stops. A leaf that was delivered twice may have
    left a second chain; only the one from the block's first chunk on counts.
    """
    blocks: dict[str, dict[int, DoneMark]] = {}
    for key, raw in done.items():
        block, number = key.removeprefix(run.done_prefix).rsplit("/", 1)
        blocks.setdefault(block, {})[int(number)] = DoneMark.from_json(raw)
    pieces = []
    for marks in blocks.values():
        first = 0
        while (mark := marks.get(first)) is not None and mark.stop > first:
            pieces.append((mark.stop - first, mark))
            first = mark.stop
    return pieces


def _rate(run: Run, pieces: list[tuple[int, DoneMark]], now_s: float, *, finished: bool) -> float:
    if not pieces:
        return 0.0
    end_s = max(mark.finished_s for _, mark in pieces) if finished else now_s
    start_s = run.started_s if finished else max(run.started_s, end_s - RATE_WINDOW_S)
    recent = sum(chunks for chunks, mark in pieces if mark.finished_s >= start_s)
    return recent / max(end_s - start_s, 0.001)
