"""The ingest function's own routes over a service, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from types import ModuleType
from unittest import mock

import flask

from shared.config.settings import Settings
from shared.ingest.control.operation import Operation
from shared.ingest.control.operations import OPERATIONS
from shared.ingest.control.service import IngestService
from tests.support.graph.servers import serving

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serve(service: IngestService, folder: Path, known: tuple[Operation, ...] = OPERATIONS) -> Iterator[str]:
    """Serves while the context lasts; gives the address."""
    with serving(app_of(service, folder, known)) as address:
        yield address


def app_of(service: IngestService, folder: Path, known: tuple[Operation, ...] = OPERATIONS) -> flask.Flask:
    """The function's app over a service."""
    (folder / "datasets.yaml").write_text("{}")
    environment = {
        "L2CACHE_DATASETS": str(folder / "datasets.yaml"),
        "L2CACHE_STORE": f"sqlite://{folder}/cache.db",
        "L2CACHE_BUS": f"sqlite://{folder}/bus.db",
        "L2CACHE_QUEUE": f"sqlite://{folder}/queue.db",
    }
    with mock.patch.dict("os.environ", environment):
        app: flask.Flask = _function().create_app(Settings.from_environment(environment), service, known)
    return app


def _function() -> ModuleType:
    spec = util.spec_from_file_location("ingest_function", ROOT / "functions" / "ingest" / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
