"""How ids stand, from publishing to the row or the end: instances of the look-up and the compute function on one store,
embedded and in the Bigtable emulator.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from shared.bus.dead_letters import DeadLetterBox
from shared.compute.messages import MessageHandler, Verdict
from shared.compute.service import ComputeService
from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.errors import StorageUnavailableError, VolumeUnavailableError
from shared.lookup.http import create_app
from shared.lookup.misses import MissPublisher
from shared.lookup.pending import PendingStates
from shared.lookup.service import LookupService
from shared.lookup.waiting import Waiting
from shared.messages.cloud_events import PushedMessage
from shared.store.open import open_store
from tests.support.graph.small import EMPTY, GRAPH_ID, META, SmallGraph, SmallVolume, failing, node_id
from tests.support.lookup_setup import World, json_of

A, B = (0, 0, 0), (1, 0, 0)
NONE = {"cached": 0, "empty": 0, "pending": 0, "missing": 0, "failed": 0, "unknown": 0, "impossible": 0}
IMPOSSIBLE = node_id(1, A, 1)
UNKNOWN_ID = node_id(2, A, 9)


class Bus:
    """Keeps messages until they are delivered; dead letters are kept for good."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        self.messages.append((dict(attributes), data))

    def close(self) -> None:
        pass


class Deployment:
    """All functions over one store."""

    def __init__(self, folder: Path, address: str) -> None:
        self.table_id = f"l2cache.test-{uuid.uuid4().hex[:12]}_v1"
        self.store = open_store(address)
        self.store.create_table(self.table_id, META)
        self.graph, self.volume = SmallGraph(), SmallVolume()
        self.bus, self.waited, self.dead = Bus(), Bus(), Bus()
        dataset = Dataset(GRAPH_ID, META.cv_path, self.table_id)
        self._datasets = Datasets({GRAPH_ID: dataset})
        self._settings = Settings.from_environment(World(folder, "http://127.0.0.1:1").environment)
        self._misses: list[MissPublisher] = []
        service = ComputeService(self._datasets, self.store, self.graph, self.volume)
        self._handler = MessageHandler(service, DeadLetterBox(self.dead, attempts=2))

    def instance(self, most_waiting: int = 9) -> FlaskClient:
        """A further instance of the look-up."""
        misses = MissPublisher(
            self.bus, 60.0, 4000, pending=PendingStates(self.store), waited=self.waited, waited_per_minute=9
        )
        service = LookupService(self.store, self.graph, misses, waiting=Waiting(self.store, most_waiting))
        self._misses.append(misses)
        app = create_app(lambda: service, self._datasets, lambda _: None, self._settings)
        return app.test_client()

    def deliver(self, attempt: int = 1) -> list[Verdict]:
        """Delivers what is on the buses; what is to come again stays there."""
        verdicts = []
        for bus in (self.waited, self.bus):
            messages, bus.messages = bus.messages, []
            for attributes, data in messages:
                verdicts.append(self._handler.handle(PushedMessage("1", attributes, data, attempt)))
                if verdicts[-1] is Verdict.RETRY:
                    bus.messages.append((attributes, data))
        return verdicts

    def close(self) -> None:
        """Ends the instances, and the store that they share."""
        for misses in self._misses:
            misses.close()
        self.store.close()


@pytest.fixture(params=["sqlite", "bigtable"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    address = f"sqlite://{tmp_path}/cache.db"
    if request.param == "bigtable":
        request.getfixturevalue("bigtable_environment")
        address = "bigtable://project/instance"
    deployment = Deployment(tmp_path, address)
    yield deployment
    deployment.close()


def post(client: FlaskClient, kind: str, l2_ids: list[int], query: str = "", **options: Any) -> Any:
    path = f"/l2cache/api/v1/table/{GRAPH_ID}/{kind}{query}"
    return client.post(path, data=np.array(l2_ids, "<u8").tobytes(), content_type="application/octet-stream", **options)


def status(client: FlaskClient, l2_ids: list[int], query: str = "") -> Any:
    response = post(client, "status", l2_ids, query)
    assert response.status_code == 200, response.data
    return json_of(response)


def counts(client: FlaskClient, l2_ids: list[int]) -> dict[str, int]:
    return {name: count for name, count in status(client, l2_ids)["counts"].items() if count}


def headers(response: Any) -> dict[str, str]:
    names = ("Missing", "Pending", "Failed", "Unknown", "Impossible")
    return {name: response.headers[f"X-L2Cache-{name}"] for name in names}


def test_every_instance_tells_the_same_from_asking_to_the_row(deployment: Deployment) -> None:
    node, empty = deployment.graph.add(A, 1, {1}), node_id(2, EMPTY, 1)
    wanted = [node, empty, UNKNOWN_ID, IMPOSSIBLE]
    one, other = deployment.instance(), deployment.instance()
    assert counts(one, wanted) == {"missing": 3, "impossible": 1}
    assert deployment.bus.messages == []
    told = headers(post(one, "attributes", wanted))
    assert told == {"Missing": "0", "Pending": "3", "Failed": "0", "Unknown": "0", "Impossible": "1"}
    assert counts(other, wanted) == counts(one, wanted) == {"pending": 3, "impossible": 1}
    assert headers(post(other, "attributes", wanted)) == told
    assert len(deployment.bus.messages) == 1  # the other instance left it at that
    assert deployment.deliver() == [Verdict.DONE]
    for client in (one, other, deployment.instance()):
        answer = status(client, wanted, "?all=true")
        assert answer["counts"] == {**NONE, "cached": 1, "empty": 1, "unknown": 1, "impossible": 1}
        since = answer["since"].pop("unknown")
        assert list(since) == [str(UNKNOWN_ID)]
        assert since[str(UNKNOWN_ID)].endswith("Z")
        assert answer["ids"] == {
            "cached": [str(node)],
            "empty": [str(empty)],
            "pending": [],
            "missing": [],
            "failed": [],
            "unknown": [str(UNKNOWN_ID)],
            "impossible": [str(IMPOSSIBLE)],
        }
    assert "cached" not in status(one, wanted)["ids"]


def test_what_is_given_up_is_told_with_its_reason_and_not_published_again_at_once(deployment: Deployment) -> None:
    node = deployment.graph.add(A, 1, {1})
    one, other = deployment.instance(), deployment.instance()
    deployment.volume.fail = failing(VolumeUnavailableError("gs://bucket does not answer"))
    post(one, "attributes", [node])
    assert deployment.deliver() == [Verdict.RETRY]
    assert counts(other, [node]) == {"pending": 1}
    assert deployment.deliver(attempt=2) == [Verdict.GIVEN_UP]
    for client in (one, other):
        (failure,) = status(client, [node])["ids"]["failed"]
        assert (failure["id"], failure["reason"]) == (str(node), "the segmentation could not be read")
        assert failure["since"].endswith("Z")
        assert headers(post(client, "attributes", [node]))["Failed"] == "1"
    assert deployment.bus.messages == []
    assert len(deployment.dead.messages) == 1


def test_a_waiting_request_gets_what_is_computed_meanwhile(deployment: Deployment) -> None:
    nodes = [deployment.graph.add(A, 1, {1}), deployment.graph.add(B, 2, {1})]
    client = deployment.instance()
    done = threading.Event()

    def deliver() -> None:
        while not done.is_set():
            deployment.deliver()
            time.sleep(0.02)

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        response = post(client, "attributes", [*nodes, UNKNOWN_ID], headers={"Prefer": "wait=20"})
    finally:
        done.set()
        thread.join()
    assert response.headers["Preference-Applied"] == "wait=20"
    assert float(response.headers["X-L2Cache-Waited"]) < 15
    found = json_of(response)
    assert all(found[str(l2_id)]["size_nm3"] > 0 for l2_id in nodes)
    assert found[str(UNKNOWN_ID)] == {}
    assert headers(response)["Unknown"] == "1"


def test_what_is_waited_for_overtakes_the_rest_within_its_share(deployment: Deployment) -> None:
    nodes = [deployment.graph.add(A, n, {n}) for n in range(1, 13)]
    client = deployment.instance()
    response = post(client, "status", nodes, "?wait=0.2")
    assert headers(response)["Pending"] == "12"
    assert "Preference-Applied" not in response.headers
    assert [len(data) // 8 for _, data in deployment.waited.messages] == [9]
    assert [len(data) // 8 for _, data in deployment.bus.messages] == [3]
    assert deployment.waited.messages[0][0]["l2cache_waited"] == "true"
    assert "l2cache_waited" not in deployment.bus.messages[0][0]


def test_where_too_many_wait_a_request_is_answered_at_once(deployment: Deployment) -> None:
    node = deployment.graph.add(A, 1, {1})
    response = post(deployment.instance(most_waiting=0), "attributes", [node], headers={"Prefer": "wait=20"})
    assert headers(response)["Pending"] == "1"
    assert not {"Preference-Applied", "X-L2Cache-Waited"} & set(response.headers.keys())
    assert (len(deployment.waited.messages), len(deployment.bus.messages)) == (0, 1)


def test_nothing_is_waited_for_where_nothing_is_under_way(deployment: Deployment) -> None:
    response = post(deployment.instance(), "status", [deployment.graph.add(A, 1, {1})], "?wait=20&update_cache=false")
    assert headers(response)["Missing"] == "1"
    assert float(response.headers["X-L2Cache-Waited"]) < 1


@pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
def test_without_the_states_attributes_are_answered_and_a_status_is_not(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageUnavailableError("away")

    client = deployment.instance()
    monkeypatch.setattr(deployment.store, "read_states", away)
    node = deployment.graph.add(A, 1, {1})
    assert headers(post(client, "attributes", [node], "?update_cache=false"))["Missing"] == "1"
    refused = post(client, "status", [node])
    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)


@pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["attributes", "status"])
def test_a_wait_that_is_none_is_refused(deployment: Deployment, kind: str) -> None:
    refused = post(deployment.instance(), kind, [IMPOSSIBLE], "?wait=soon")
    assert refused.status_code == 400
    assert "wait must be" in json_of(refused)["message"]
