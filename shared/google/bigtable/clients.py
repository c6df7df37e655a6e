"""Bigtable clients, made when they are first needed and then kept.

A client costs tens of megabytes, threads and a handshake: there is one per project in an instance of a function, beside
one that reads rows, and none before the server process was forked.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from shared.google.bigtable.row_client import RowClient, connected_row_client

if TYPE_CHECKING:
    from google.cloud.bigtable.data import BigtableDataClient
    from google.cloud.bigtable_v2 import BigtableClient


class DataClients:
    """Clients of Bigtable's data API by project. May be used by many threads.

    With BIGTABLE_EMULATOR_HOST in the environment, the clients speak to that emulator.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, BigtableDataClient] = {}
        self._rows: RowClient | None = None

    def get(self, project: str) -> BigtableDataClient:
        """The client of a project; the same one each time.

        Raises:
          google.auth.exceptions.GoogleAuthError: if there are no credentials.
        """
        with self._lock:
            client = self._made.get(project)
            if client is None:
                from google.cloud.bigtable.data import BigtableDataClient

                client = self._made[project] = BigtableDataClient(project=project)
            return client

    def streams(self, project: str) -> BigtableClient:
        """A client of bare requests and answers, on the connection of the project's client.

        Raises:
          google.auth.exceptions.GoogleAuthError: if there are no credentials.
        """
        from google.cloud.bigtable_v2 import BigtableClient

        return BigtableClient(transport=self.get(project).transport)

    def rows(self) -> RowClient:
        """The client that reads rows, of any project; the same one each time.

        Raises:
          google.auth.exceptions.GoogleAuthError: if there are no credentials.
        """
        with self._lock:
            if self._rows is None:
                self._rows = connected_row_client()
            return self._rows

    def close(self) -> None:
        """Ends all clients and their threads. They are made anew if they are asked for again."""
        with self._lock:
            if self._rows is not None:
                self._rows.close()
            self._rows = None
            for client in self._made.values():
                client.close()
            self._made.clear()
