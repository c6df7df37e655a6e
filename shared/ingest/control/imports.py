"""Imports: the rows of an export into a table, here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from shared.documents.timestamp import parse_utc
from shared.errors import BrokenExportError, RunConflictError
from shared.ingest.blocks import parse_block
from shared.ingest.control.exports import checked_names
from shared.ingest.control.fields import Field, Kind, Values
from shared.ingest.control.files_plan import FilesPlan, make_files_plan
from shared.ingest.control.new_run import provide_table
from shared.ingest.control.request import StartRequest
from shared.ingest.export import MANIFEST, ImportOptions, Manifest, grid_document
from shared.ingest.kind import RunKind
from shared.ingest.progress import RunStatus
from shared.ingest.run import Run

if TYPE_CHECKING:
    from datetime import datetime

    from shared.config.datasets import Dataset
    from shared.ingest.control.service import IngestService

IMPORT_FIELDS = (
    Field("source", Kind.TEXT, "The export's folder: gs://BUCKET/FOLDER or file:///FOLDER.", is_required=True),
)


@dataclass(frozen=True)
class ImportRequest:
    """An import to start.

    Attributes:
      dataset: name of the dataset whose table gets the rows.
      source: address of the export's folder.
      create: make the table if there is none.
      now: the present moment.
    """

    dataset: str
    source: str
    create: bool
    now: datetime

    @classmethod
    def from_values(cls, values: Values) -> ImportRequest:
        """The request that fields' values make."""
        return cls(values["dataset"], values["source"], values["create"], values.now.replace(microsecond=0))


def start_import(service: IngestService, request: ImportRequest) -> RunStatus:
    """Starts an import, after a look at the manifest.

    Raises:
      UnknownDatasetError: if the dataset is not configured.
      BadRequestError: if the folder is not allowed, or the export has attributes that are not known here.
      BrokenExportError: if there is no manifest that can be read.
      RunConflictError: if the export is of another graph or grid, or not of whole rows; if the table belongs to another
        graph, or an import into it is going on.
      TableNotFoundError: if there is no table and it is not to be made.
      FolderError: if the folder cannot be read.
    """
    dataset = service.datasets.get(request.dataset)
    service.register(dataset)
    manifest, run = _new_run(service, request, dataset)
    try:
        moment = parse_utc(manifest.table_timestamp)
    except ValueError as error:
        raise BrokenExportError("the manifest has no moment of the table") from error
    provide_table(service.store, dataset, StartRequest(dataset.graph_id, moment, create=request.create))
    return service.begin(run)


def plan_import(service: IngestService, request: ImportRequest, concurrency: int) -> FilesPlan:
    """What an import would take and cost; nothing is started.

    Raises:
      As `start_import`, but for what is about the table.
    """
    manifest, run = _new_run(service, request, service.datasets.get(request.dataset))
    files = manifest.files.values()
    rows, n_bytes = sum(file.rows for file in files), sum(file.bytes for file in files)
    return make_files_plan(run, rows, service.n_queues, concurrency, n_bytes)


def _new_run(service: IngestService, request: ImportRequest, dataset: Dataset) -> tuple[Manifest, Run]:
    source = service.folders.check(request.source)
    raw = service.folders.open(source).read(MANIFEST)
    if raw is None:
        raise BrokenExportError(f"the folder has no {MANIFEST}: it is no export, or one that has not ended")
    manifest = Manifest.from_json(raw)
    if manifest.graph_id != dataset.graph_id:
        raise RunConflictError(f"the export is of graph {manifest.graph_id[:60]}, not of {dataset.graph_id}")
    ours = grid_document(service.geometry(dataset))
    differing = [name for name, value in ours.items() if manifest.grid.get(name) != value]
    if differing:
        raise RunConflictError(f"the export is of another grid: {', '.join(differing)} differ")
    if not manifest.is_whole:
        raise RunConflictError("the export has only some attributes: rows do not follow from it")
    checked_names(manifest.attributes, service.attributes.names)
    return manifest, Run(
        graph_id=dataset.graph_id,
        table_id=dataset.l2cache_id,
        timestamp=request.now,
        block=parse_block(manifest.tree["block"]),
        leaf_chunks=manifest.tree["leaf_chunks"],
        started_s=service.clock(),
        chunks_per_file=manifest.tree["unit"],
        kind=RunKind.IMPORT,
        options=ImportOptions(source, sha256(raw).hexdigest()).document(),
    )
