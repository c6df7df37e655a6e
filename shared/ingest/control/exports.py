"""Exports: the rows of a table as files, and what that takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.errors import BadRequestError, L2CacheError, RunConflictError
from shared.ingest.blocks import BATCH_CHUNKS
from shared.ingest.control.counting import count_rows
from shared.ingest.control.fields import Field, Kind, Values
from shared.ingest.control.files_plan import FilesPlan, make_files_plan
from shared.ingest.control.request import StartRequest
from shared.ingest.export import MANIFEST, ExportOptions, is_file_name
from shared.ingest.kind import RunKind
from shared.ingest.manifest import ManifestWriter, log_unwritten
from shared.ingest.progress import RunStatus
from shared.ingest.run import Run

if TYPE_CHECKING:
    from shared.config.datasets import Dataset
    from shared.geometry.grid import GraphGeometry
    from shared.ingest.control.service import IngestService

EXPORT_FIELDS = (
    Field("destination", Kind.TEXT, "The folder: gs://BUCKET/FOLDER or file:///FOLDER.", is_required=True),
    Field("attributes", Kind.TEXT, "Only these, with commas between them; all if left out."),
)

MOST_LEAF_CHUNKS = 16_384
LEAVES_AT_LEAST = 32
ROWS_PER_FILE_AT_LEAST = 50_000
"""Below that files are so small that there need not be `LEAVES_AT_LEAST` of them."""

ROWS_PER_READ = 32_768


@dataclass(frozen=True)
class ExportRequest:
    """An export to start.

    Attributes:
      scope: dataset, moment and chunks.
      destination: address of the folder.
      attributes: names of those that are wanted; empty for all.
      at_moment: whether a moment was named: then only rows of nodes that the graph has at it are wanted.
    """

    scope: StartRequest
    destination: str
    attributes: tuple[str, ...] = ()
    at_moment: bool = False

    @classmethod
    def from_values(cls, values: Values) -> ExportRequest:
        """The request that fields' values make."""
        timestamp = values["timestamp"] or values.now.replace(microsecond=0)
        box, unit, test = values["bounding_box"], values["unit"], values["test"]
        scope = StartRequest(values["dataset"], timestamp, box, unit, test, create=False)
        names = tuple(sorted({name.strip() for name in (values["attributes"] or "").split(",") if name.strip()}))
        return cls(scope, values["destination"], names, values["timestamp"] is not None)


def start_export(service: IngestService, request: ExportRequest) -> RunStatus:
    """Starts an export. Nothing of the table changes.

    Raises:
      UnknownDatasetError: if the dataset is not configured.
      BadRequestError: if the bounding box holds nothing of the volume, or the folder is not allowed.
      UnknownAttributeError: if there is no such attribute.
      TableNotFoundError: if there is no table.
      RunConflictError: if an export of the table is going on, the table belongs to another graph, or the folder holds
        an export.
      FolderError: if the folder cannot be read.
    """
    dataset = service.datasets.get(request.scope.dataset)
    refuse_other_graph(service, dataset)
    run, _ = _new_run(service, request, dataset, service.geometry(dataset))
    folder = service.folders.open(ExportOptions.of(run).destination)
    if any(is_file_name(name) or name == MANIFEST for name in folder.names()):
        raise RunConflictError("the folder holds files of an export: name another, or resume the run that writes them")
    return service.begin(run)


def plan_export(service: IngestService, request: ExportRequest, concurrency: int) -> FilesPlan:
    """What an export would take and cost; nothing is started.

    Raises:
      As `start_export`.
    """
    dataset = service.datasets.get(request.scope.dataset)
    run, rows = _new_run(service, request, dataset, service.geometry(dataset))
    return make_files_plan(run, rows, service.n_queues, concurrency)


def refuse_other_graph(service: IngestService, dataset: Dataset) -> None:
    """Refuses a dataset whose table is of another graph.

    Raises:
      TableNotFoundError: if there is no table.
      RunConflictError: if it is.
    """
    graph_id = service.store.read_meta(dataset.l2cache_id).graph_id
    if graph_id != dataset.graph_id:
        raise RunConflictError(f"table {dataset.l2cache_id} belongs to graph {graph_id}, not to {dataset.graph_id}")


def put_manifest(service: IngestService, status: RunStatus) -> str | None:
    """Writes the manifest of an export that has ended, if it is not there as it should be.

    The leaf that came last has done so, unless it died or the folder was away.

    Returns:
      Its address; None if the export goes on, or the folder cannot be written just now, which is logged.
    """
    if not status.finished:
        return None
    writer = ManifestWriter(service.store, service.datasets, service.geometry, service.attributes, service.folders)
    try:
        return writer.put(status.run)
    except L2CacheError as error:
        log_unwritten(status.run, error)
        return None


def _new_run(
    service: IngestService, request: ExportRequest, dataset: Dataset, geometry: GraphGeometry
) -> tuple[Run, int]:
    """The run, and about how many rows it exports."""
    attributes = service.attributes.select(request.attributes or None)
    names = tuple(attribute.name for attribute in attributes) if len(attributes) < len(service.attributes) else ()
    options = ExportOptions(service.folders.check(request.destination), names, request.at_moment)
    run = Run(
        graph_id=dataset.graph_id,
        table_id=dataset.l2cache_id,
        timestamp=request.scope.timestamp,
        block=request.scope.block(geometry),
        leaf_chunks=1,
        started_s=service.clock(),
        kind=RunKind.EXPORT,
        options=options.document(),
    )
    rows = count_rows(service, run, geometry)
    per_chunk = max(rows / run.block.volume, 1.0)
    wanted_rows = min(service.rows_per_file, max(ROWS_PER_FILE_AT_LEAST, rows // LEAVES_AT_LEAST))
    leaf_chunks = max(1, min(MOST_LEAF_CHUNKS, int(wanted_rows / per_chunk)))
    batch_chunks = max(1, min(BATCH_CHUNKS, int(ROWS_PER_READ / per_chunk)))
    return replace(run, leaf_chunks=leaf_chunks, batch_chunks=batch_chunks), rows


def checked_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Refuses attributes that are not known here.

    Raises:
      BadRequestError: naming the first.
    """
    for name in names:
        if name not in known:
            raise BadRequestError(f"the export has an attribute that is not known here: {name[:60]}")
