"""Building a dataset's whole cache table: a tree of tasks over the chunk grid, and what is known of its progress."""

from shared.ingest.leaf import LeafOutcome, LeafService
from shared.ingest.operations import Operations
from shared.ingest.progress import RunState, RunStatus
from shared.ingest.request import StartRequest
from shared.ingest.run import Run
from shared.ingest.service import IngestService

__all__ = ["IngestService", "LeafOutcome", "LeafService", "Operations", "Run", "RunState", "RunStatus", "StartRequest"]
