"""Registering a graph with CAVE's authentication when an ingest starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import flask
import pytest
import requests
import yaml

from shared.config.datasets import AuthRegistration, Dataset
from shared.config.settings import Settings
from shared.errors import AuthenticationUnavailableError, GraphUnavailableError, RegistrationRefusedError
from shared.graph.registration import GraphRegistrar
from shared.ingest.control.request import StartRequest
from shared.ingest.progress import RunState
from shared.web.errors import status_of
from tests.support.graph.servers import serving
from tests.support.graph.small import GRAPH_ID
from tests.support.ingest_site import MOMENT, Site
from tests.support.lookup_setup import DATASET, World
from tests.support.processes.server import running

TOKEN = "s3cret-operator"  # noqa: S105
MAPPING = f"/sticky_auth/api/v1/service/pychunkedgraph/table/{GRAPH_ID}/dataset"


class StickyAuth:
    """As much of CAVE's authentication as set-ups ask: which dataset a table belongs to.

    Attributes:
      mapping: of tables to datasets.
      posts: how often a table was registered.
      refuse: answers everything in its place, if it is not 0.
    """

    def __init__(self) -> None:
        self.mapping: dict[str, str] = {}
        self.posts = 0
        self.refuse = 0

    def app(self) -> flask.Flask:
        """The service."""
        app = flask.Flask("auth")

        @app.before_request
        def check() -> flask.Response | None:
            if self.refuse:
                return flask.Response("<html>https://host/secret</html>", self.refuse)
            known = flask.request.headers.get("Authorization") == f"Bearer {TOKEN}"
            return None if known else flask.Response("no such token", 401)

        @app.get("/sticky_auth/api/v1/service/<service>/table/<table>/dataset")
        def dataset_of(service: str, table: str) -> Any:
            found = self.mapping.get(f"{service}/{table}")
            return flask.jsonify(found) if found else flask.Response("no such table", 404)

        @app.post("/sticky_auth/api/v1/service/<service>/table/<table>/dataset/<dataset>")
        def register(service: str, table: str, dataset: str) -> flask.Response:
            self.posts += 1
            self.mapping[f"{service}/{table}"] = dataset
            return flask.jsonify({"success": True})

        return app


@contextmanager
def registrar(folder: Path, **changes: str) -> Iterator[tuple[GraphRegistrar, StickyAuth, AuthRegistration]]:
    """A registrar with the operator's token, the service, and what is to be registered there."""
    environment = {**World(folder, "http://127.0.0.1:1").environment, "L2CACHE_GRAPH_TOKEN": TOKEN, **changes}
    auth = StickyAuth()
    with serving(auth.app()) as host:
        yield GraphRegistrar(Settings.from_environment(environment)), auth, AuthRegistration(host, "minnie 65")


def dataset(wanted: AuthRegistration | None) -> Dataset:
    return Dataset(GRAPH_ID, f"graphene://https://graph.example.org/segmentation/table/{GRAPH_ID}", "t", None, wanted)


def test_a_graph_is_registered_once_with_the_operators_token(tmp_path: Path) -> None:
    with registrar(tmp_path) as (register, auth, wanted):
        register(dataset(wanted))
        register(dataset(wanted))
        assert auth.mapping == {f"pychunkedgraph/{GRAPH_ID}": "minnie 65"}
        assert auth.posts == 1
        register(dataset(replace(wanted, dataset="other", service="another")))
        assert auth.mapping[f"another/{GRAPH_ID}"] == "other"


def test_nothing_is_asked_for_a_dataset_that_does_not_want_it(tmp_path: Path) -> None:
    with registrar(tmp_path) as (register, auth, _):
        auth.refuse = 500
        register(dataset(None))


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409])
def test_a_refusal_is_an_error_with_its_status_and_nothing_of_the_answer(tmp_path: Path, status: int) -> None:
    with registrar(tmp_path) as (register, auth, wanted):
        auth.refuse = status
        with pytest.raises(RegistrationRefusedError, match=rf"{GRAPH_ID}.*minnie 65.*status {status}") as refused:
            register(dataset(wanted))
    assert status_of(refused.value) == 502
    assert "host" not in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_token_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with (
        registrar(tmp_path, L2CACHE_GRAPH_TOKEN="another") as (register, _, wanted),  # noqa: S106
        pytest.raises(RegistrationRefusedError, match="401"),
    ):
        register(dataset(wanted))


def test_a_service_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    with registrar(tmp_path) as (register, auth, wanted):
        auth.refuse = 503
        with pytest.raises(AuthenticationUnavailableError, match="503"):
            register(dataset(wanted))
    with pytest.raises(AuthenticationUnavailableError):
        register(dataset(wanted))


class TestStart:
    def start(self, site: Site, register: Any) -> Any:
        ingest = replace(site.ingest, register=register)
        return ingest.start(StartRequest(GRAPH_ID, MOMENT))

    def test_the_graph_is_registered_before_anything_is_asked_of_it(self, tmp_path: Path) -> None:
        site, done = Site(tmp_path), list[str]()

        def closed_before(_: Dataset) -> Any:
            if not done:
                raise GraphUnavailableError("the graph server refuses the token")
            return geometry(_)

        geometry = site.ingest.geometry
        site.ingest = replace(site.ingest, geometry=closed_before)
        with pytest.raises(GraphUnavailableError):
            self.start(site, lambda _: None)
        assert self.start(site, lambda dataset: done.append(dataset.graph_id)).state is RunState.RUNNING
        assert done == [GRAPH_ID]

    def test_where_it_is_refused_nothing_is_started(self, tmp_path: Path) -> None:
        site = Site(tmp_path)

        def refuse(_: Dataset) -> None:
            raise RegistrationRefusedError("refused")

        with pytest.raises(RegistrationRefusedError):
            self.start(site, refuse)
        assert not site.deliveries.lease(10, site.clock() + 10)
        assert self.start(site, lambda _: None).state is RunState.RUNNING


def test_the_function_registers_as_the_datasets_file_says(tmp_path: Path) -> None:
    world = World(tmp_path, "http://127.0.0.1:1")
    with registrar(tmp_path) as (_, auth, wanted):
        datasets = tmp_path / "datasets.yaml"
        asked = yaml.safe_load(datasets.read_text())
        asked[DATASET]["cave_auth"] = {"host": wanted.host, "dataset": wanted.dataset}
        datasets.write_text(yaml.safe_dump(asked))
        environment = {**world.environment, "L2CACHE_GRAPH_TOKEN": "not-known", "CLOUD_VOLUME_DIR": str(tmp_path)}
        with running("ingest", environment, tmp_path / "log") as url:
            answer = requests.post(f"{url}/start", json={"dataset": DATASET}, timeout=60)
    assert answer.status_code == 502
    assert "(status 401)" in answer.json()["message"]
    assert not auth.mapping
