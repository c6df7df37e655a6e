"""Rows of chunks as a file that others can read, and the rows in such a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from shared.documents.timestamp import format_utc
from shared.errors import BrokenExportError
from shared.geometry.ids import l2_id_ranges
from shared.store.rows import StoredRows
from shared.table.column import Column
from shared.table.parquet import decode_parquet, encode_parquet, have_same_schema
from shared.table.row_columns import CELLS_AS_STORED, row_columns, rows_of_columns
from shared.telemetry.log import StepTimer
from shared.types import Triple

if TYPE_CHECKING:
    from shared.compute.service import ComputeService


@dataclass(frozen=True)
class Exported:
    """A file of rows.

    Attributes:
      content: its bytes.
      rows: how many there are in it.
      chunks: of how many chunks.
      nodes: which the graph has of these chunks at the moment that was asked for; None if all rows were.
      as_stored: rows that have their cells beside the columns, since they do not follow from these.
      others: cells of these rows that are left out, by `family:qualifier`: they are of no attribute.
    """

    content: bytes = field(repr=False)
    rows: int
    chunks: int
    nodes: int | None
    as_stored: int
    others: dict[str, int]

    @property
    def missing(self) -> int:
        """Nodes of the graph at the moment that have no row."""
        return 0 if self.nodes is None else self.nodes - self.rows

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal digits."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Exporter:
    """Makes files of rows, and rows of files.

    Attributes:
      service: has stores and graphs.
    """

    service: ComputeService

    def export(
        self,
        graph_id: str,
        chunks: Iterable[Triple],
        moment: datetime | None,
        attributes: Sequence[str] | None,
        batch_chunks: int,
        steps: StepTimer,
    ) -> Exported:
        """The rows of chunks as a Parquet file, sorted by id.

        Args:
          graph_id: the dataset.
          chunks: coordinates in the chunk grid, ascending.
          moment: the rows of nodes that the graph has at that moment; all rows if None.
          attributes: names of those that are wanted; all if None.
          batch_chunks: chunks that are read together.
          steps: the time is added there, as `scan`, `map`, `encode`.

        Raises:
          L2CacheError: what keeps rows from being read.
        """
        waiting, parts, done = iter(chunks), [], 0
        as_stored = rows = nodes = 0
        others: Counter[str] = Counter()
        while batch := list(islice(waiting, batch_chunks)):
            found, n_nodes = self._rows(graph_id, batch, moment, steps)
            with steps.step("encode"):
                parts.append(self._columns(graph_id, found, attributes))
            done, rows, nodes = done + len(batch), rows + len(found), nodes + n_nodes
            others.update(found.others)
            as_stored += sum(len(column.values) for column in parts[-1] if column.name == CELLS_AS_STORED)
        with steps.step("encode"):
            content = encode_parquet(parts, self._origin(graph_id, moment)) if parts else b""
        wanted = None if moment is None else nodes
        return Exported(content, rows, done, wanted, as_stored, dict(sorted(others.items())))

    def standing(self, own: Exported, content: bytes) -> Exported:
        """What there is to tell of a file in whose place another one stood already, perhaps of rows of another time.

        Args:
          own: the file that was to be written.
          content: of the one that stands.

        Returns:
          The one that stands. Which cells were left out of it does not follow from it: these are those of `own`.

        Raises:
          BrokenExportError: if it is not of the same table, moment and attributes.
        """
        if content == own.content:
            return own
        if not have_same_schema(own.content, content):
            raise BrokenExportError("the file is one of another table, moment or attributes")
        rows = as_stored = 0
        for columns in decode_parquet(content):
            rows += len(columns["l2_id"][0])
            as_stored += len(columns[CELLS_AS_STORED][0]) if CELLS_AS_STORED in columns else 0
        return replace(own, content=content, rows=rows, as_stored=as_stored)

    def read(self, graph_id: str, content: bytes, steps: StepTimer) -> Iterator[StoredRows]:
        """The rows in a file, in parts.

        Args:
          graph_id: the dataset.
          content: of the file.
          steps: the time is added there, as `decode`.

        Raises:
          BrokenExportError: if it is no such file.
          L2CacheError: what keeps the graph from being known.
        """
        geometry = self.service.graphs.get(self.service.datasets.get(graph_id)).geometry()
        parts = decode_parquet(content)
        while True:
            with steps.step("decode"):
                columns = next(parts, None)
                rows = [] if columns is None else rows_of_columns(columns, self.service.attributes, geometry)
            if columns is None:
                return
            yield from rows

    def write(self, graph_id: str, rows: StoredRows, steps: StepTimer) -> None:
        """Writes rows as they are (the step `write`).

        Raises:
          L2CacheError: what keeps them from being written.
        """
        with steps.step("write"):
            self.service.store.write_rows(self.service.datasets.get(graph_id).l2cache_id, rows)

    def _rows(
        self, graph_id: str, chunks: Sequence[Triple], moment: datetime | None, steps: StepTimer
    ) -> tuple[StoredRows, int]:
        """The rows of chunks, and how many nodes the graph has there at the moment; 0 if none is asked for."""
        dataset = self.service.datasets.get(graph_id)
        graph = self.service.graphs.get(dataset)
        layout = graph.geometry().layout
        nodes = None
        if moment is not None:
            with steps.step("map"):
                nodes = np.concatenate(graph.l2_ids_at(chunks, moment))
        with steps.step("scan"):
            rows = self.service.store.scan_rows(dataset.l2cache_id, l2_id_ranges(chunks, layout))
        if nodes is None:
            return rows, 0
        return rows.take(np.isin(rows.l2_ids, nodes)), len(nodes)

    def _origin(self, graph_id: str, moment: datetime | None) -> str:
        """What a file's metadata tell as JSON, so that one of another table or moment is not taken for it."""
        table_id, timestamp = self.service.datasets.get(graph_id).l2cache_id, moment and format_utc(moment)
        return json.dumps({"dataset": graph_id, "table": table_id, "timestamp": timestamp})

    def _columns(self, graph_id: str, rows: StoredRows, attributes: Sequence[str] | None) -> list[Column]:
        wanted = self.service.attributes.select(attributes)
        geometry = self.service.graphs.get(self.service.datasets.get(graph_id)).geometry()
        return row_columns(rows, wanted, geometry, is_whole=len(wanted) == len(self.service.attributes))
