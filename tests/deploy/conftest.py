"""What the tests of the deployment share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make package` leaves it, with nothing of weight in it."""
    folder = tmp_path_factory.mktemp("dist")
    (folder / "package.json").write_text('{"version": "1.0.0", "runtime": "python311", "zips": {}}')
    for name in ("lookup", "compute", "ingest"):
        (folder / f"{name}.zip").write_bytes(name.encode())
    return folder
