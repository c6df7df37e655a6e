"""What a start makes: the run, as it follows from the request, and the table that it fills."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from shared.attributes import further_names
from shared.errors import RunConflictError, TableNotFoundError
from shared.ingest.blocks import batch_size, leaf_size
from shared.ingest.control.rates import default_rates
from shared.ingest.run import MOST_LEAF_CHUNKS, Run
from shared.store.protocol import TableMeta

if TYPE_CHECKING:
    from shared.attributes import AttributeTable
    from shared.config.datasets import Dataset
    from shared.geometry.grid import GraphGeometry
    from shared.ingest.control.request import StartRequest
    from shared.store.protocol import CacheStore


def new_run(
    request: StartRequest,
    dataset: Dataset,
    geometry: GraphGeometry,
    leaf_chunks: int,
    started_s: float,
    attributes: AttributeTable,
) -> Run:
    """The run that a request asks for; the same request gives the same tree of tasks.

    Args:
      request: what is asked for.
      dataset: the dataset that it names.
      geometry: of the dataset.
      leaf_chunks: most chunks in a leaf task.
      started_s: Unix time.
      attributes: what its rows have.

    Raises:
      BadRequestError: if the bounding box holds nothing of the volume.
    """
    block = request.block(geometry)
    chunk_voxels = prod(geometry.chunk_size_voxels)
    # Not the table's own rates: they change while it is filled.
    chunk_s = default_rates(chunk_voxels).core_s_per_chunk
    return Run(
        graph_id=dataset.graph_id,
        table_id=dataset.l2cache_id,
        timestamp=request.timestamp,
        block=block,
        leaf_chunks=leaf_size(block.volume, min(leaf_chunks, MOST_LEAF_CHUNKS), chunk_s),
        started_s=started_s,
        chunks_per_file=geometry.chunks_per_file,
        batch_chunks=batch_size(chunk_voxels),
        attributes=further_names(attributes),
    )


def provide_table(store: CacheStore, dataset: Dataset, request: StartRequest) -> None:
    """Makes the dataset's cache table if there is none and the request allows it.

    Raises:
      TableNotFoundError: if there is none and it is not to be made.
      RunConflictError: if the table belongs to another graph.
    """
    table_id = dataset.l2cache_id
    try:
        graph_id = store.read_meta(table_id).graph_id
    except TableNotFoundError:
        if not request.create:
            raise
        store.create_table(table_id, TableMeta(dataset.graph_id, dataset.cv_path, request.timestamp))
        # Somebody else may have made it just now.
        graph_id = store.read_meta(table_id).graph_id
    if graph_id != dataset.graph_id:
        raise RunConflictError(f"table {table_id} belongs to graph {graph_id}, not to {dataset.graph_id}")
