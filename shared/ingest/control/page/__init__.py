"""The ingest function's page: the files beside this one are built from `pages/ingest` by `make page`."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
