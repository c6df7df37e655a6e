"""The graphs of all datasets, each opened once."""

from __future__ import annotations

import threading

from shared.datasets import Dataset
from shared.graph.address import GraphAddress
from shared.graph.protocol import Graph
from shared.graph.server import GraphServer
from shared.graph.token import checked_token, cloudvolume_secrets_dirs, find_token
from shared.graph.transport import GraphTransport
from shared.settings import Settings


class Graphs:
    """`GraphSource` over graph servers: one client per dataset, made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: dict[str, Graph] = {}

    def get(self, dataset: Dataset) -> Graph:
        """See `GraphSource.get`."""
        with self._lock:
            graph = self._opened.get(dataset.cv_path)
            if graph is None:
                graph = self._opened[dataset.cv_path] = self._open(dataset)
            return graph

    def _open(self, dataset: Dataset) -> Graph:
        settings = self._settings
        address = GraphAddress.parse(dataset.cv_path)
        if settings.graph_token:
            token: str | None = checked_token(settings.graph_token)
        else:
            token = find_token(address.host, cloudvolume_secrets_dirs(settings.cloud_volume_dir))
        return GraphServer(address, GraphTransport(token, settings.graph_timeout_s, settings.graph_attempts))
