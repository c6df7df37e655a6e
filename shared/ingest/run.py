"""A run: what is to be done with the chunks of a block, as its mark and its tasks carry it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.documents.json_object import (
    decode_object,
    number_field,
    text_field,
    texts_field,
    whole_field,
    whole_triple_field,
)
from shared.documents.timestamp import format_utc, parse_utc
from shared.errors import BadRequestError
from shared.geometry.grid import Box
from shared.ingest.blocks import BATCH_CHUNKS, ONE_CHUNK, block_name, parse_block
from shared.ingest.kind import RunKind
from shared.types import Triple

if TYPE_CHECKING:
    from shared.config.datasets import Datasets

MOST_LEAF_CHUNKS = 2**20
_MOST = 2**53
_LAST_SECOND_S = 253_402_300_799.0  # of the year 9999
_COMPACT = str.maketrans({" ": "T", "-": None, ":": None})


@dataclass(frozen=True)
class Run:
    """One ingest of (part of) a dataset at one moment of its graph, or another kind of work on its chunks.

    Attributes:
      graph_id: the dataset.
      table_id: its cache table.
      timestamp: the moment of the graph; aware, UTC, whole seconds.
      block: the chunks to do.
      leaf_chunks: most chunks in a leaf task.
      started_s: when it was started, Unix time.
      chunks_per_file: of the volume, along each axis; blocks are cut between files where that is possible.
      batch_chunks: most chunks that go through the steps of a leaf together.
      generation: how often it was resumed or its failures tried again; tasks of older generations are obsolete.
      resumed_s: when the present generation was started, Unix time.
      retry_from: chunks that failed in a generation before this one are to be done again.
      attributes: what its rows are to have beside the attributes of PCGL2Cache, in alphabetical order.
      kind: what is done with the chunks.
      options: what that kind of work wants to know further, in JSON's types; none for an ingest.

    The name of an ingest follows from its moment and its chunks, so that starting it again is the same run:

    >>> from datetime import UTC, datetime
    >>> run = Run("minnie3_v1", "l2cache_minnie3_v1", datetime(2026, 6, 1, tzinfo=UTC), Box((0, 0, 0), (752, 512, 26)),
    ...           leaf_chunks=512, started_s=1780272060.0)
    >>> run.run_id
    '20260601T000000-0_0_0-752_512_26'

    It travels as JSON, in its mark and in each of its tasks:

    >>> Run.from_json(run.to_json()) == run
    True

    Trying its failed chunks again is a new generation of the same run:

    >>> again = run.next_generation(now_s=1780358460.0, retry_failed=True)
    >>> (again.run_id == run.run_id, again.generation, again.retry_from)
    (True, 1, 1)
    """

    graph_id: str
    table_id: str
    timestamp: datetime
    block: Box
    leaf_chunks: int
    started_s: float
    chunks_per_file: Triple = ONE_CHUNK
    batch_chunks: int = 1
    generation: int = 0
    resumed_s: float = 0.0
    retry_from: int = 0
    attributes: tuple[str, ...] = ()
    kind: RunKind = RunKind.INGEST
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def run_id(self) -> str:
        """Name of the run, a function of timestamp and block: starting the same ingest twice is the same run.

        Other kinds of work on the same chunks may be done again: their names tell when they were started, too.
        """
        moment = format_utc(self.timestamp).translate(_COMPACT)
        name = f"{moment}-{block_name(self.block)}"
        return name if self.kind is RunKind.INGEST else f"{self.kind.value}-{int(self.started_s * 1000)}-{name}"

    def is_of(self, datasets: Datasets) -> bool:
        """Whether it fills the cache table that is configured for its dataset."""
        dataset = datasets.by_graph_id.get(self.graph_id)
        return dataset is not None and dataset.l2cache_id == self.table_id

    @property
    def begun_s(self) -> float:
        """When it was started or resumed last, Unix time."""
        return max(self.started_s, self.resumed_s)

    def next_generation(self, now_s: float, *, retry_failed: bool = False, further: Iterable[str] = ()) -> Run:
        """The same run with new names for its tasks: a queue takes no name twice, and old tasks may still wait.

        Args:
          now_s: Unix time.
          retry_failed: whether the chunks that failed are to be done again.
          further: attributes that its rows are to have as well; chunks without them are to be done again.
        """
        generation = self.generation + 1
        retry_from = generation if retry_failed else self.retry_from
        attributes = tuple(sorted({*self.attributes, *further}))
        return replace(self, generation=generation, resumed_s=now_s, retry_from=retry_from, attributes=attributes)

    def to_json(self) -> bytes:
        """The run as the JSON of its mark and of its tasks."""
        return json.dumps(self.document()).encode()

    def document(self) -> dict[str, Any]:
        """The run in JSON's types."""
        document: dict[str, Any] = {
            "graph_id": self.graph_id,
            "table_id": self.table_id,
            "timestamp": format_utc(self.timestamp),
            "block": block_name(self.block),
            "leaf_chunks": self.leaf_chunks,
            "started_s": self.started_s,
            "unit": list(self.chunks_per_file),
            "batch_chunks": self.batch_chunks,
            "generation": self.generation,
            "resumed_s": self.resumed_s,
            "retry_from": self.retry_from,
        }
        if self.attributes:
            document["attributes"] = list(self.attributes)
        if self.kind is not RunKind.INGEST:
            document |= {"kind": self.kind.value, "options": dict(self.options)}
        return document

    @classmethod
    def from_json(cls, raw: bytes | str | Mapping[str, Any]) -> Run:
        """The inverse of `to_json`; a decoded document is taken as well.

        Raises:
          BadRequestError: if it is no run; the message names what is wrong.
        """
        document = raw if isinstance(raw, Mapping) else decode_object(raw, "an ingest run")
        generation = whole_field(document, "generation", 0, _MOST)
        return cls(
            graph_id=text_field(document, "graph_id"),
            table_id=text_field(document, "table_id"),
            timestamp=_moment(text_field(document, "timestamp")),
            block=parse_block(text_field(document, "block")),
            leaf_chunks=whole_field(document, "leaf_chunks", 1, MOST_LEAF_CHUNKS),
            started_s=number_field(document, "started_s", 0.0, _LAST_SECOND_S),
            chunks_per_file=whole_triple_field(document, "unit", 1, _MOST),
            batch_chunks=whole_field(document, "batch_chunks", 1, BATCH_CHUNKS),
            generation=generation,
            resumed_s=number_field(document, "resumed_s", 0.0, _LAST_SECOND_S),
            retry_from=whole_field(document, "retry_from", 0, generation),
            attributes=texts_field(document, "attributes"),
            kind=_kind(document.get("kind", RunKind.INGEST.value)),
            options=_options(document.get("options", {})),
        )


def _kind(value: Any) -> RunKind:
    if value not in [kind.value for kind in RunKind]:
        raise BadRequestError(f"kind must be {' or '.join(RunKind)}, not {str(value)[:60]!r}")
    return RunKind(value)


def _options(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequestError("options must be a JSON object")
    return value


def _moment(text: str) -> datetime:
    try:
        return parse_utc(text)
    except ValueError as error:
        raise BadRequestError(f"timestamp is no moment: {text[:60]!r}") from error
