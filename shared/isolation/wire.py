"""The protocol between parent and child: a line of JSON for each job, and for each report on it.

parent  {"job": "chunk", "run": {...}, "chunk": [x, y, z]}
        {"job": "nodes", "graph_id": "...", "l2_ids": [...], "is_edit": false}
child   {"tells": "ready"}
        {"tells": "step", "step": "read"}
        {"tells": "fault", "what": "memory ran out"}
        {"tells": "error", "kind": "GraphUnavailableError", "message": "..."}
        {"tells": "result", "result": {...}}
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from shared import errors
from shared.compute.outcome import ChunkOutcome, NodesOutcome
from shared.errors import L2CacheError, TransientError
from shared.geometry.grid import as_triple
from shared.ingest.leaf.pipeline import ChunkResult


def error_document(error: L2CacheError) -> dict[str, str]:
    """An error of ours in JSON's types."""
    return {"kind": type(error).__name__, "message": str(error)}


def error_of(document: dict[str, Any]) -> L2CacheError:
    """The inverse of `error_document`; an error of a kind that is not known here becomes one worth another try."""
    kind = getattr(errors, str(document["kind"]), None)
    if isinstance(kind, type) and issubclass(kind, L2CacheError):
        return kind(document["message"])
    return TransientError(document["message"])


def result_document(result: ChunkResult) -> dict[str, Any]:
    """What came of a chunk of an ingest in JSON's types."""
    return {**asdict(result), "error": None if result.error is None else error_document(result.error)}


def result_of(document: dict[str, Any]) -> ChunkResult:
    """The inverse of `result_document`."""
    error = document["error"]
    fields = {
        "chunk": as_triple(document["chunk"]),
        "error": None if error is None else error_of(error),
        "notes": tuple(document["notes"]),
    }
    return ChunkResult(**{**document, **fields})


def outcome_document(outcome: NodesOutcome) -> dict[str, Any]:
    """What came of the nodes of a message in JSON's types."""
    return {
        "chunks": [[chunk, asdict(done)] for chunk, done in outcome.chunks.items()],
        "failures": [[chunk, error_document(error)] for chunk, error in outcome.failures.items()],
        "refused": [[l2_id, reason] for l2_id, reason in outcome.refused.items()],
        "n_cached": outcome.n_cached,
    }


def outcome_of(document: dict[str, Any]) -> NodesOutcome:
    """The inverse of `outcome_document`."""
    chunks = {}
    for chunk, done in document["chunks"]:
        chunks[as_triple(chunk)] = ChunkOutcome(**{**done, "unknown_ids": tuple(done["unknown_ids"])})
    return NodesOutcome(
        chunks=chunks,
        failures={as_triple(chunk): error_of(error) for chunk, error in document["failures"]},
        refused=dict(document["refused"]),
        n_cached=document["n_cached"],
    )
