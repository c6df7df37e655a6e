"""What the functions stand on, in this process: a small world that can be told to be away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from shared.compute.service import ComputeService
from shared.config.datasets import Dataset
from shared.errors import GraphUnavailableError, L2CacheError, StorageUnavailableError, VolumeUnavailableError
from shared.files.open import Folders
from shared.files.protocol import Folder
from shared.ingest.export import MANIFEST
from shared.store.open import open_totals
from shared.tasks.open import open_queue
from tests.soak.fuzz.case import PERMITTED
from tests.soak.fuzz.exports import EXPORTS, FORGED, READY, ready_export
from tests.support.graph.small import SmallCache

ERRORS: Mapping[str, Callable[[str], L2CacheError]] = {
    "store": StorageUnavailableError,
    "bus": StorageUnavailableError,
    "queue": StorageUnavailableError,
    "folder": StorageUnavailableError,
    "graph": GraphUnavailableError,
    "volume": VolumeUnavailableError,
}


class Switch:
    """Who is away, and who said so when it was asked.

    Attributes:
      away: neighbours that cannot be reached.
      refused: those that were asked nevertheless.
      permissions: what the authentication service answers: status and body.
      manifest: what the manifest in the folder of forged exports is.
    """

    def __init__(self) -> None:
        self.away: frozenset[str] = frozenset()
        self.refused: set[str] = set()
        self.permissions: tuple[int, bytes] = PERMITTED
        self.manifest = b""

    def check(self, name: str) -> None:
        """Raises what a neighbour raises that is away, if it is."""
        if name in self.away:
            self.refused.add(name)
            raise ERRORS[name](f"the {name} is away")


class Switched:
    """A neighbour whose methods fail while it is away."""

    def __init__(self, inner: Any, name: str, switch: Switch) -> None:
        self._inner, self._name, self._switch = inner, name, switch

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._inner, attribute)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            self._switch.check(self._name)
            return value(*arguments, **options)

        return call


class SwitchedGraphs:
    """`GraphSource` and `VolumeSource` of one neighbour; handing it out asks nobody."""

    def __init__(self, inner: Any, name: str, switch: Switch) -> None:
        self._switched = Switched(inner, name, switch)

    def get(self, _key: object) -> Any:
        return self._switched


@dataclass(frozen=True)
class SwitchedFolders(Folders):
    """Folders in memory; in one of them is an export, in another the manifest that a case brings."""

    switch: Switch = field(default_factory=Switch)
    files: dict[str, dict[str, bytes]] = field(default_factory=lambda: {READY: dict(ready_export())})

    def open(self, address: str) -> Folder:
        """As `Folders.open`."""
        plain = self.check(address)
        if plain == FORGED:
            self.files[plain] = {MANIFEST: self.switch.manifest}
        switched: Any = Switched(ListedFolder(self.files.setdefault(plain, {})), "folder", self.switch)
        return switched  # type: ignore[no-any-return]


class ListedFolder:
    """A `Folder` of some files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def write(self, name: str, content: bytes) -> None:
        """As `Folder.write`."""
        self._files[name] = bytes(content)

    def create(self, name: str, content: bytes) -> bool:
        """As `Folder.create`."""
        return self._files.setdefault(name, content) is content

    def read(self, name: str) -> bytes | None:
        """As `Folder.read`."""
        return self._files.get(name)

    def names(self) -> list[str]:
        """As `Folder.names`."""
        return sorted(self._files)


class ListedPublisher:
    """A bus that forgets what it takes."""

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        for name, value in attributes.items():
            if not isinstance(value, str) or not isinstance(name, str):
                raise TypeError("attributes are text by text")
            # As Google's client, which writes them as UTF-8.
            name.encode(), value.encode()
        bytes(data)

    def close(self) -> None:
        """Has nothing to close."""


class Authentication:
    """The authentication service, in the place of the network below the function's own adapter."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def answer(self, request: requests.PreparedRequest) -> requests.Response:
        """What comes back for a request."""
        status, body = self._switch.permissions
        if "/user/" not in str(request.url):
            status, body = 200, b'"small"'
        if (status, body) != PERMITTED:
            # Whoever does not understand it may take the service for being away.
            self._switch.refused.add("authentication")
        response = requests.Response()
        response.status_code, response.url, response.request = status, str(request.url), request
        response._content = body
        response.headers["Content-Type"] = "application/json"
        if status == 429:
            response.headers["Retry-After"] = "3"
        return response


class Neighbours:
    """A fresh small world in a folder."""

    def __init__(self, folder: Path, switch: Switch) -> None:
        small = SmallCache(folder)
        for chunk in ((0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 1, 1)):
            small.graph.add(chunk, 1, range(1, 6))
            small.graph.add(chunk, 2, range(6, 12))
        self.datasets = small.datasets
        self.inner_store = small.store
        self.store = Switched(small.store, "store", switch)
        self.totals = Switched(open_totals(f"sqlite://{folder.resolve()}/cache.db"), "store", switch)
        self.bus = Switched(ListedPublisher(), "bus", switch)
        self.inner_queue = open_queue(f"sqlite://{folder.resolve()}/queue.db")
        self.queue = Switched(self.inner_queue, "queue", switch)
        self.graphs = SwitchedGraphs(small.graph, "graph", switch)
        volumes = SwitchedGraphs(small.volume, "volume", switch)
        self.folders = SwitchedFolders((EXPORTS,), switch)
        self.compute = ComputeService(small.datasets, self.store, self.graphs, volumes, folders=self.folders)  # type: ignore[arg-type]

    def geometry(self, dataset: Dataset) -> Any:
        """The geometry of a dataset, as the graph server tells it."""
        return self.graphs.get(dataset).geometry()

    def close(self) -> None:
        """Closes the files."""
        self.inner_store.close()
        self.inner_queue.close()
