"""Building a dataset's whole cache table: a tree of tasks over the chunk grid, and what is known of its progress."""

from shared.ingest.leaf import LeafService
from shared.ingest.request import StartRequest
from shared.ingest.run import Run, RunStatus
from shared.ingest.service import IngestService

__all__ = ["IngestService", "LeafService", "Run", "RunStatus", "StartRequest"]
