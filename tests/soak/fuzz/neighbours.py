"""What the functions stand on, in this process: a small world that can be told to be away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from shared.compute.service import ComputeService
from shared.config.datasets import Dataset
from shared.errors import GraphUnavailableError, L2CacheError, StorageUnavailableError, VolumeUnavailableError
from shared.store.open import open_totals
from shared.tasks.open import open_queue
from tests.soak.fuzz.case import PERMITTED
from tests.support.graph.small import SmallCache

ERRORS: Mapping[str, Callable[[str], L2CacheError]] = {
    "store": StorageUnavailableError,
    "bus": StorageUnavailableError,
    "queue": StorageUnavailableError,
    "graph": GraphUnavailableError,
    "volume": VolumeUnavailableError,
}


class Switch:
    """Who is away, and who said so when it was asked.

    Attributes:
      away: neighbours that cannot be reached.
      refused: those that were asked nevertheless.
      permissions: what the authentication service answers: status and body.
    """

    def __init__(self) -> None:
        self.away: frozenset[str] = frozenset()
        self.refused: set[str] = set()
        self.permissions: tuple[int, bytes] = PERMITTED

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
        self.compute = ComputeService(small.datasets, self.store, self.graphs, volumes)  # type: ignore[arg-type]

    def geometry(self, dataset: Dataset) -> Any:
        """The geometry of a dataset, as the graph server tells it."""
        return self.graphs.get(dataset).geometry()

    def close(self) -> None:
        """Closes the files."""
        self.inner_store.close()
        self.inner_queue.close()
