"""Connections on which nothing comes, at the functions in their real server process with the fewest threads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.lookup_setup import World
from tests.support.processes.server import running

FEWEST_THREADS = 2
"""`infra/terraform` gives no function fewer (`tests/deploy/test_terraform.py`)."""


@pytest.fixture(params=["lookup", "compute", "ingest"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    environment = World(tmp_path, "http://127.0.0.1:1").environment
    own = {"CLOUD_VOLUME_DIR": str(tmp_path), "THREADS": str(FEWEST_THREADS)}
    with running(request.param, {**environment, **own}, tmp_path / "log") as address:
        yield address


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a request"])
def test_a_request_is_answered_beside_a_connection_on_which_nothing_comes(url: str, sent: bytes) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as idle:
        idle.sendall(sent)
        assert requests.get(f"{url}/health", timeout=20).status_code == 200
