"""A dataset under another name: who may see it is asked for that name, all the rest is the dataset's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import flask
import pytest

from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.lookup.http import create_app
from shared.lookup.query import Query
from shared.lookup.service import Lookup
from tests.support.lookup_setup import DATASET, TABLE, World, all_found, json_of, propagated

ALIAS = "rig_public"


class Recorder:
    """An authorizer and a service that answer and keep what they were asked about."""

    def __init__(self) -> None:
        self.authorized: list[str] = []
        self.read: list[Dataset] = []

    def authorize(self, name: str) -> flask.Response | None:
        self.authorized.append(name)
        return None if name == ALIAS else flask.Response("no", 403)

    def look_up(self, dataset: Dataset, query: Query, steps: object, caller: str) -> Lookup:
        self.read.append(dataset)
        return Lookup(b"{}", all_found(query.l2_ids))


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, "http://127.0.0.1:1")
    with (tmp_path / "datasets.yaml").open("a") as file:
        file.write(f"{ALIAS}: {{table_id: {DATASET}}}\n")
    return world


def client_of(world: World, recorder: Recorder) -> Any:
    settings = Settings.from_environment(world.environment)
    service: Any = lambda: recorder  # noqa: E731
    return create_app(service, Datasets.from_file(settings.datasets_file), recorder.authorize, settings).test_client()


def test_the_permission_is_that_of_the_alias_and_the_rows_are_the_datasets(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "l2cache")
    recorder = Recorder()
    client = client_of(world, recorder)
    with propagated(caplog):
        answers = [client.post(f"/l2cache/api/v1/table/{name}/attributes", data=b"") for name in (ALIAS, DATASET)]
    assert recorder.authorized == [ALIAS, DATASET]
    assert [answer.status_code for answer in answers] == [400, 403]
    raw = {"Content-Type": "application/octet-stream"}
    assert client.post(f"/l2cache/api/v1/table/{ALIAS}/attributes", data=bytes(8), headers=raw).status_code == 200
    assert [(one.graph_id, one.l2cache_id) for one in recorder.read] == [(DATASET, TABLE)]
    fields = [record.__dict__["fields"] for record in caplog.records if record.message == "request"]
    assert {(one["dataset"], one.get("alias")) for one in fields} == {(DATASET, ALIAS), (DATASET, None)}


def test_table_mapping_tells_of_aliases_too(world: World) -> None:
    mapping = json_of(client_of(world, Recorder()).get("/l2cache/api/v1/table_mapping"))
    fields = {"cv_path": world.cv_path, "l2cache_id": TABLE}
    assert mapping == {DATASET: fields, ALIAS: fields}


def test_what_is_missing_is_published_for_the_dataset(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.integration.test_lookup_function import INFO, MISSING
    from tests.support.graph.servers import serving
    from tests.support.lookup_setup import graph_app

    with serving(graph_app(INFO)) as url:
        aliased = World(world.folder, url)
        with (world.folder / "datasets.yaml").open("a") as file:
            file.write(f"{ALIAS}: {{table_id: {DATASET}}}\n")
        client = aliased.client(monkeypatch)
        answer = client.post(f"/l2cache/api/v1/table/{ALIAS}/attributes", json={"l2_ids": MISSING})
        assert json_of(answer) == {str(l2_id): {} for l2_id in sorted(MISSING)}
        (message,) = aliased.published()
    assert (message.graph_id, message.l2cache_id) == (DATASET, TABLE)
