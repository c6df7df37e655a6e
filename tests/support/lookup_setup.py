"""What the tests of the look-up function share: a function configured as in production, over files in a folder."""

from __future__ import annotations

import gzip
import json
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import functions_framework
import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout
from shared.lookup.found import Found
from shared.messages.messages import MissMessage, decode
from shared.sqlite.deliveries import Deliveries
from shared.store.protocol import CachedCells
from shared.store.sqlite import SQLiteStore
from shared.types import UInt64Array

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "functions" / "lookup" / "main.py"
DATASET = "rig_graph"
TABLE = "l2cache_rig_graph_v1"
ATTRIBUTES_PATH = f"/l2cache/api/v1/table/{DATASET}/attributes"


def graph_app(info: dict[str, Any], refuse: bool = False) -> flask.Flask:
    """As much of a graph server as the look-up asks: the `info` of one table."""
    app = flask.Flask("graph")

    @app.get(f"/segmentation/table/{DATASET}/info")
    def answer() -> flask.Response:
        return flask.Response("overloaded", 503) if refuse else flask.jsonify(info)

    return app


@dataclass
class World:
    """The files of one deployment in a folder, and the environment that names them."""

    folder: Path
    graph_url: str
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        datasets = self.folder / "datasets.yaml"
        datasets.write_text(f"{DATASET}:\n  cv_path: {self.cv_path}\n  l2cache_id: {TABLE}\n")
        self.environment = {
            "L2CACHE_DATASETS": str(datasets),
            "L2CACHE_STORE": f"sqlite://{self.folder}/cache.db",
            "L2CACHE_BUS": f"sqlite://{self.folder}/bus.db",
            "L2CACHE_QUEUE": f"sqlite://{self.folder}/queue.db",
            "L2CACHE_GRAPH_TOKEN": "graph-token",
            "L2CACHE_GRAPH_ATTEMPTS": "1",
            "AUTH_DISABLED": "true",
            **self.environment,
        }

    @property
    def cv_path(self) -> str:
        """The dataset's address, as a real one looks."""
        return f"graphene://{self.graph_url}/segmentation/table/{DATASET}"

    @property
    def store(self) -> SQLiteStore:
        """The cache tables that the function reads."""
        return SQLiteStore(self.folder / "cache.db")

    def client(self, monkeypatch: pytest.MonkeyPatch, **changes: str) -> FlaskClient:
        """The function as functions-framework loads it, with some variables changed; its module is read anew."""
        for name, value in {**self.environment, **changes}.items():
            monkeypatch.setenv(name, value)
        from middle_auth_client import decorators

        monkeypatch.setattr(decorators, "AUTH_DISABLED", True)
        monkeypatch.delitem(sys.modules, "main", raising=False)
        app = functions_framework.create_app(target="lookup", source=str(SOURCE))
        return app.test_client()  # type: ignore[no-any-return]

    def published(self) -> list[MissMessage]:
        """The misses on the bus that were not taken before; they are taken."""
        deliveries = Deliveries(self.folder / "bus.db")
        leases = deliveries.lease(1000, time.time() + 1)
        deliveries.acknowledge(lease.id for lease in leases)
        deliveries.close()
        messages = [decode(lease.attributes, lease.body) for lease in leases]
        assert all(isinstance(message, MissMessage) for message in messages)
        return [message for message in messages if isinstance(message, MissMessage)]

    def published_ids(self) -> list[int]:
        """The ids in those messages, ascending."""
        return sorted(i for message in self.published() for i in message.l2_ids.tolist())


def json_of(response: TestResponse) -> Any:
    """The value in an answer, packed or not."""
    packed = response.headers.get("Content-Encoding") == "gzip"
    return json.loads(gzip.decompress(response.data) if packed else response.data)


def all_found(l2_ids: UInt64Array) -> Found:
    """What a look-up finds where each id has a row, without cells."""
    geometry = GraphGeometry(IdLayout(8, ()), (1, 1, 1), (0, 0, 0), (1, 1, 1), (1.0, 1.0, 1.0), 0, "")
    return Found(l2_ids, np.zeros(len(l2_ids), dtype=np.uint8), CachedCells(l2_ids, {}), {}, geometry)


class propagated:  # noqa: N801  # reads as a with-statement's phrase
    """Lets the records of the system reach pytest: `configure` of our log keeps them from the root logger."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.handler = caplog.handler

    def __enter__(self) -> None:
        logging.getLogger("l2cache").addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("l2cache").removeHandler(self.handler)
