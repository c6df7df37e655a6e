"""Computing rows of the cache: for the nodes of a message, or for whole chunks of an ingest."""

from shared.compute.chunk import LoadedChunk, MappedChunk
from shared.compute.messages import MessageHandler, Verdict
from shared.compute.outcome import ChunkOutcome, NodesOutcome
from shared.compute.service import ComputeService

__all__ = ["ChunkOutcome", "ComputeService", "LoadedChunk", "MappedChunk", "MessageHandler", "NodesOutcome", "Verdict"]
