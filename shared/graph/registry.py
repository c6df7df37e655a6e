"""The graphs of all datasets, each opened once."""

from __future__ import annotations

import threading

from shared.config.datasets import Dataset
from shared.config.settings import Settings
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.clients import DataClients
from shared.graph.address import GraphAddress
from shared.graph.bigtable import GraphTable
from shared.graph.protocol import Graph
from shared.graph.server import GraphServer
from shared.graph.token import checked_token, cloudvolume_secrets_dirs, find_token
from shared.graph.transport import GraphTransport


class Graphs:
    """`GraphSource` over graph servers and graph tables: one client per graph, made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: dict[tuple[str, TableAddress | None], Graph] = {}
        self._bigtable = DataClients()

    def get(self, dataset: Dataset) -> Graph:
        """See `GraphSource.get`."""
        with self._lock:
            key = dataset.cv_path, dataset.graph_table
            graph = self._opened.get(key)
            if graph is None:
                graph = self._opened[key] = self._open(dataset)
            return graph

    def _open(self, dataset: Dataset) -> Graph:
        settings = self._settings
        address = GraphAddress.parse(dataset.cv_path)
        if settings.graph_token:
            token: str | None = checked_token(settings.graph_token)
        else:
            token = find_token(address.host, cloudvolume_secrets_dirs(settings.cloud_volume_dir))
        server = GraphServer(address, GraphTransport(token, settings.graph_timeout_s, settings.graph_attempts))
        if dataset.graph_table is None:
            return server
        all_attempts_s = settings.graph_timeout_s * settings.graph_attempts
        return GraphTable(
            dataset.graph_table, server.geometry, self._bigtable, settings.graph_timeout_s, all_attempts_s
        )
