"""Writing the manifest of an export that has ended: from its marks alone, so that whoever writes it writes the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shared.config.version import VERSION
from shared.documents.timestamp import format_utc
from shared.ingest.blocks import block_name, parse_block
from shared.ingest.export import (
    AS_STORED,
    FORM,
    FORM_VERSION,
    MANIFEST,
    MISSING,
    ExportedFile,
    ExportOptions,
    grid_document,
    others_of,
)
from shared.ingest.ledger import Ledger
from shared.ingest.progress import Piece, RunStatus, block_progress
from shared.telemetry.log import event, get_logger

if TYPE_CHECKING:
    from shared.attributes import AttributeTable
    from shared.config.datasets import Dataset, Datasets
    from shared.files.open import Folders
    from shared.geometry.grid import GraphGeometry
    from shared.ingest.run import Run
    from shared.store.protocol import CacheStore

_logger = get_logger("ingest")


@dataclass(frozen=True)
class ManifestWriter:
    """Writes manifests. Any number of writers may write the same one at once.

    Attributes:
      store: the cache tables, with the runs' marks.
      datasets: what is configured.
      geometry: gives a dataset's geometry.
      attributes: what rows have.
      folders: where exports may be.
    """

    store: CacheStore
    datasets: Datasets
    geometry: Callable[[Dataset], GraphGeometry]
    attributes: AttributeTable
    folders: Folders

    def put(self, run: Run) -> str:
        """Writes the manifest of an export that has ended, if it is not there as it should be.

        Returns:
          Its address.

        Raises:
          FolderError: if the folder refuses it.
          TransientError: if it cannot be reached, or the marks or the graph's geometry cannot be read.
          L2CacheError: what else keeps it from being made.
        """
        destination = ExportOptions.of(run).destination
        folder = self.folders.open(destination)
        # Again after writing: whoever is late, while failed blocks were done again, sees the newer marks then.
        while folder.read(MANIFEST) != (content := self._content(run)):
            folder.write(MANIFEST, content)
        return f"{destination}/{MANIFEST}"

    def _content(self, run: Run) -> bytes:
        return json.dumps(self._document(run), indent=1).encode()

    def _document(self, run: Run) -> dict[str, Any]:
        dataset, options = self.datasets.get(run.graph_id), ExportOptions.of(run)
        geometry = self.geometry(dataset)
        meta = self.store.read_meta(run.table_id)
        pieces = Ledger.of_run(self.store, run).pieces(run)
        files = sorted(
            filter(None, map(_file, pieces.values())), key=lambda file: parse_block(file.name.split(".")[0]).start
        )
        status = RunStatus.of_pieces(run, pieces, 0.0, is_cancelled=False)
        moment = options.moment(run)
        return {
            "form": FORM,
            "form_version": FORM_VERSION,
            "written_by": VERSION,
            "run_id": run.run_id,
            "dataset": run.graph_id,
            "table": run.table_id,
            "table_timestamp": format_utc(meta.timestamp),
            "timestamp": None if moment is None else format_utc(moment),
            "chunks": {"start": run.block.start, "stop": run.block.stop},
            "grid": grid_document(geometry),
            "attributes": list(options.attributes or self.attributes.names),
            "whole_rows": not options.attributes,
            "schema": _schema(self.attributes, geometry, options),
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.bytes for file in files),
            MISSING: status.counts.get(MISSING, 0),
            AS_STORED: status.counts.get(AS_STORED, 0),
            "other_cells": others_of(status.counts),
            "tree": {"block": block_name(run.block), "leaf_chunks": run.leaf_chunks, "unit": list(run.chunks_per_file)},
            "files": [asdict(file) for file in files],
            "failed": _failed(pieces, run.retry_from),
        }


def log_unwritten(run: Run, error: Exception) -> None:
    """Says in the log why an export has no manifest yet."""
    fields = {"run_id": run.run_id, "reason": str(error), "error": type(error).__name__}
    event(_logger, logging.ERROR, "manifest not written", **fields)


def _file(pieces: Sequence[Piece]) -> ExportedFile | None:
    """The file that was written last for a block."""
    newest = max((piece for piece in pieces if piece.notes), key=lambda piece: piece.finished_s, default=None)
    return None if newest is None else ExportedFile.from_note(newest.notes[-1])


def _failed(pieces: Mapping[str, Iterable[Piece]], retry_from: int) -> list[dict[str, Any]]:
    failed = []
    for block, own in sorted(pieces.items()):
        reasons = block_progress(tuple(own), retry_from).failed
        if reasons:
            failed.append({"block": block, "chunks": len(reasons), "reason": next(iter(reasons.values()))})
    return failed


def _schema(attributes: AttributeTable, geometry: GraphGeometry, options: ExportOptions) -> list[dict[str, Any]]:
    from shared.store.rows import no_rows
    from shared.table.row_columns import row_columns

    wanted = attributes.select(options.attributes or None)
    columns = row_columns(no_rows(attributes), wanted, geometry, is_whole=not options.attributes)
    return [
        {"name": c.name, "type": "string" if c.values.dtype == object else c.values.dtype.name, **c.metadata}
        for c in columns
    ]
