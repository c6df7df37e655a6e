"""The look-up function: HTTP, the routes of the look-up API.

Run it with `functions-framework --source functions/lookup/main.py --target lookup`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import flask

from shared import log
from shared.auth import keep_queries_out_of_access_logs, middle_auth
from shared.bus import open_bus
from shared.datasets import Datasets
from shared.graph import Graphs
from shared.lookup import LookupService
from shared.lookup.http import create_app
from shared.lookup.misses import MissPublisher
from shared.once import Once
from shared.settings import Settings
from shared.store import open_store
from shared.web import serve


def create_lookup(environment: Mapping[str, str]) -> Callable[[flask.Request], flask.Response]:
    """The function that answers requests, configured by environment variables.

    Settings are read here; connections are made at the first request.

    Raises:
      ConfigurationError: naming the variable that is missing or wrong.
    """
    settings = Settings.from_environment(environment)
    log.configure(settings.log_level)
    keep_queries_out_of_access_logs()
    datasets = Datasets.from_file(settings.datasets_file)
    authorize = middle_auth(environment)

    def make_app() -> flask.Flask:
        misses = MissPublisher(open_bus(settings.bus), settings.miss_pause_s, settings.message_bytes)
        service = LookupService(open_store(settings.store), Graphs(settings), misses)
        return create_app(service, datasets, authorize, settings)

    app = Once(make_app)
    return lambda request: serve(app(), request)


_answer = create_lookup(os.environ)


def lookup(request: flask.Request) -> flask.Response:
    """Answers one request."""
    return _answer(request)
