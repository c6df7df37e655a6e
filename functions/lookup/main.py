"""The look-up function: HTTP, the routes of the look-up API.

Run it with `functions-framework --source functions/lookup/main.py --target lookup`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import flask

from shared.bus.open import open_bus
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.google.bigtable.clients import DataClients
from shared.graph.registry import Graphs
from shared.lookup.auth import keep_queries_out_of_access_logs, middle_auth
from shared.lookup.http import create_app
from shared.lookup.misses import MissPublisher
from shared.lookup.pending import PendingStates
from shared.lookup.service import LookupService
from shared.lookup.waiting import Waiting
from shared.once import Once
from shared.store.open import open_counters, open_store, open_totals
from shared.telemetry import log
from shared.web.dispatch import HostedApp
from shared.web.shutdown import is_shutting_down

_GRAPH_TIMEOUT_S = 10.0
_GRAPH_ATTEMPTS = 2


def create_lookup(environment: Mapping[str, str]) -> HostedApp:
    """The function that answers requests, configured by environment variables.

    Settings are read here; connections are made at the first request.

    Raises:
      ConfigurationError: naming the variable that is missing or wrong.
    """
    settings = Settings.from_environment(environment)
    log.configure(settings.log_level, settings.project)
    keep_queries_out_of_access_logs()
    datasets = Datasets.from_file(settings.datasets_file)
    authorize = middle_auth(environment)

    # The graph's description is asked for once per dataset and instance, beside the requests that wait for it: these
    # end when their own time does (`L2CACHE_ANSWER_S`).
    graph_settings = replace(
        settings,
        graph_timeout_s=min(settings.graph_timeout_s, _GRAPH_TIMEOUT_S),
        graph_attempts=min(settings.graph_attempts, _GRAPH_ATTEMPTS),
    )

    clients = DataClients()

    def open_service() -> LookupService:
        store = open_store(settings.store, clients=clients)
        misses = MissPublisher(
            open_bus(settings.bus),
            pause_s=settings.miss_pause_s,
            message_bytes=settings.message_bytes,
            wait_s=settings.publish_wait_s,
            per_minute=settings.misses_per_minute,
            pending=PendingStates(store),
            waited=open_bus(settings.waited_bus) if settings.waited_bus else None,
            waited_per_minute=settings.waited_per_minute,
        )
        waiting = Waiting(store, settings.waiting_requests, is_shutting_down)
        return LookupService(store, Graphs(graph_settings), misses, pending_s=settings.pending_s, waiting=waiting)

    counters = Once(lambda: open_counters(settings.store, clients))
    memory = Once(lambda: open_totals(settings.store, clients))
    app = create_app(Once(open_service), datasets, authorize, settings, counters=counters, memory=memory)
    return HostedApp(lambda: app, settings.body_timeout_s)


_answer = create_lookup(os.environ)
_answer.replace_framework()


def lookup(request: flask.Request) -> flask.Response:
    """Answers one request."""
    return _answer(request)
