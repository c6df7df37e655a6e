"""The three functions as functions-framework loads them, in this process, over neighbours of a small world."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias
from unittest.mock import patch

import flask
import functions_framework
import requests

from shared.bus.dead_letters import DeadLetterBox
from shared.compute.messages import MessageHandler
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.ingest.control.service import IngestService
from shared.ingest.leaf.service import LeafService
from shared.lookup.http import create_app as create_lookup_app
from shared.lookup.misses import MissPublisher
from shared.lookup.pending import PendingStates
from shared.lookup.service import LookupService
from tests.soak.fuzz.exports import STARTED_S, ready_export
from tests.soak.fuzz.neighbours import Authentication, Neighbours, Switch

ROOT = Path(__file__).resolve().parents[3]
AUTHENTICATION = "authentication.invalid"
LEAF_CHUNKS = 2
LEAF_BUDGET_S = 1000.0
App: TypeAlias = Any
"""A WSGI application."""


class Functions:
    """The functions, each behind its framework; `renew` gives them a world in which nothing has happened.

    Args:
      folder: for the worlds.
      switch: says which of its neighbours are away.
    """

    def __init__(self, folder: Path, switch: Switch) -> None:
        self._folder, self._switch = folder, switch
        self._worlds = 0
        self._neighbours: Neighbours | None = None
        ready_export()  # made while nobody looks at what is done
        environment = _environment(folder)
        self.settings = Settings.from_environment(environment)
        with patch.dict(os.environ, environment):
            self._authorize = _authorizer(environment, switch)
            loaded = {name: _loaded(name) for name in ("lookup", "compute", "ingest")}
        self.apps: dict[str, App] = {name: app for name, (app, _) in loaded.items()}
        self._modules = {name: module for name, (_, module) in loaded.items()}
        self.renew()

    def renew(self) -> None:
        """Puts a new world under the functions."""
        if self._neighbours is not None:
            self._neighbours.close()
        self._worlds += 1
        folder = self._folder / f"world-{self._worlds}"
        folder.mkdir()
        self._switch.away = frozenset()
        neighbours = self._neighbours = Neighbours(folder, self._switch)
        made = {"lookup": self._lookup_app, "compute": self._compute_app, "ingest": self._ingest_app}
        for name, make in made.items():
            app = make(neighbours)
            # What the function's module made for itself gives way; its entry point and the framework stay.
            self._modules[name]._answer._app = lambda app=app: app

    def _lookup_app(self, neighbours: Neighbours) -> flask.Flask:
        misses = MissPublisher(
            neighbours.bus,
            self.settings.miss_pause_s,
            self.settings.message_bytes,
            pending=PendingStates(neighbours.store),
        )  # type: ignore[arg-type]
        service = LookupService(neighbours.store, neighbours.graphs, misses)  # type: ignore[arg-type]
        return create_lookup_app(
            lambda: service,
            neighbours.datasets,
            self._authorize,
            self.settings,
            memory=lambda: neighbours.totals,  # type: ignore[arg-type, return-value]
        )

    def _compute_app(self, neighbours: Neighbours) -> flask.Flask:
        leaves = LeafService(
            neighbours.datasets,
            neighbours.compute,
            neighbours.store,  # type: ignore[arg-type]
            neighbours.queue,  # type: ignore[arg-type]
            LEAF_BUDGET_S,
            sleep=lambda _: None,
        )
        box = DeadLetterBox(neighbours.bus, self.settings.delivery_attempts)  # type: ignore[arg-type]
        app: flask.Flask = self._modules["compute"].create_app(
            self.settings, MessageHandler(neighbours.compute, box), leaves
        )
        return app

    def _ingest_app(self, neighbours: Neighbours) -> flask.Flask:
        service = IngestService(
            neighbours.datasets,
            neighbours.geometry,
            neighbours.store,  # type: ignore[arg-type]
            neighbours.queue,  # type: ignore[arg-type]
            LEAF_CHUNKS,
            clock=lambda: STARTED_S,
            folders=neighbours.folders,
        )
        app: flask.Flask = self._modules["ingest"].create_app(self.settings, service)
        return app


def _environment(folder: Path) -> dict[str, str]:
    datasets = folder / "datasets.yaml"
    datasets.write_text("{}")
    Datasets.from_file(datasets)
    return {
        "L2CACHE_DATASETS": str(datasets),
        "L2CACHE_STORE": f"sqlite://{folder}/unused.db",
        "L2CACHE_BUS": f"sqlite://{folder}/unused.db",
        "L2CACHE_QUEUE": f"sqlite://{folder}/unused.db",
        "L2CACHE_REQUESTS_PER_MINUTE": "0",
        "L2CACHE_DELIVERY_ATTEMPTS": "5",
        "AUTH_URL": AUTHENTICATION,
        "STICKY_AUTH_URL": AUTHENTICATION,
        "AUTH_DISABLED": "false",
    }


def _authorizer(environment: dict[str, str], switch: Switch) -> Any:
    """The function's own way to ask who may view, the authentication service being here."""
    from shared.lookup import auth_service
    from shared.lookup.auth import middle_auth

    authentication = Authentication(switch)
    auth_service._PAUSES_S = ()  # there are thousands of cases: a service that is away is asked once
    requests.adapters.HTTPAdapter.send = lambda _self, request, *_, **__: authentication.answer(request)  # type: ignore[method-assign]
    return middle_auth(environment)


def _loaded(name: str) -> tuple[App, ModuleType]:
    sys.modules.pop("main", None)
    app = functions_framework.create_app(target=name, source=str(ROOT / "functions" / name / "main.py"))
    return app, sys.modules.pop("main")
