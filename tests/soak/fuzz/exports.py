"""What the fuzz knows of exports: where they are, one that is whole, and a manifest whose every part can be altered."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path

from shared.attributes import ATTRIBUTES
from shared.ingest.control.operations import Operations
from shared.ingest.export import MANIFEST, grid_document
from tests.support.graph.small import GEOMETRY, GRAPH_ID
from tests.support.ingest_site import Site

STARTED_S = 1_800_000_000.0
"""When everything of the fuzz is started, so that forged tasks can be of runs that were."""

EXPORTS = "file:///exports"
READY, FORGED, FRESH = f"{EXPORTS}/ready", f"{EXPORTS}/forged", f"{EXPORTS}/fresh"
"""Folders: with an export, with a manifest that a case brings, and with what cases write."""


@cache
def ready_export() -> Mapping[str, bytes]:
    """The files of an export of the small world, by name, its manifest among them."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), leaf_chunks=2)
        site.start()
        site.drain()
        operations = Operations(site.ingest, lambda: datetime(2026, 6, 2, tzinfo=UTC))
        destination = f"file://{site.folder.resolve()}/exports/ready"
        run_id = operations.run("export", {"dataset": GRAPH_ID, "destination": destination})["run_id"]
        site.drain()
        operations.run("status", {"dataset": GRAPH_ID, "run": run_id})
        return {path.name: path.read_bytes() for path in (site.folder / "exports" / "ready").iterdir()}


def ready_manifest_sha256() -> str:
    """SHA-256 of the whole export's manifest, in hexadecimal digits."""
    return sha256(ready_export()[MANIFEST]).hexdigest()


def manifest_fields() -> dict[str, bytes]:
    """JSON of a good manifest of the small world, by field."""
    block = "0_0_0-3_2_3"
    document = {
        "form": "l2cache-export",
        "form_version": 1,
        "dataset": GRAPH_ID,
        "table_timestamp": "2026-01-01 00:00:00",
        "grid": grid_document(GEOMETRY),
        "attributes": list(ATTRIBUTES.names),
        "whole_rows": True,
        "tree": {"block": block, "leaf_chunks": 2, "unit": [1, 1, 1]},
        "files": [{"name": f"{block}.parquet", "rows": 8, "bytes": 5000, "sha256": "0" * 64}],
        "failed": [{"block": block, "chunks": 1, "reason": "it failed"}],
    }
    return {name: json.dumps(value).encode() for name, value in document.items()}
