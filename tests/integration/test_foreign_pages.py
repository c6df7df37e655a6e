"""What pages of other sites can send with a person's rights changes nothing; what clients send is done as ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.graph.small import GRAPH_ID
from tests.support.ingest_server import app_of
from tests.support.ingest_site import Site

START = {"dataset": GRAPH_ID, "timestamp": "2026-06-01 00:00:00"}
SERVICE = "ingest-abc-uc.a.run.app"
OWN = {"X-L2Cache-Request": "page"}
JSON, FORM, TEXT = (
    {"Content-Type": kind} for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain")
)

FOREIGN: Mapping[str, Mapping[str, str]] = {
    "a form": {**FORM, "Origin": "https://evil.org", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    "a fetch without asking": {**TEXT, "Origin": "https://evil.org", "Sec-Fetch-Site": "cross-site"},
    "a page that hides its origin": {**TEXT, "Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "another port of the proxy's machine": {**TEXT, "Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    "an old browser": {**TEXT, "Origin": "https://evil.org"},
    "an old browser that hides the origin": {**FORM, "Origin": "null"},
    "our header after all": {**JSON, **OWN, "Origin": "https://evil.org", "Sec-Fetch-Site": "cross-site"},
    "our header in an old browser": {**JSON, **OWN, "Origin": "https://evil.org"},
    "a name that leads to the proxy": {
        **JSON,
        **OWN,
        "Origin": "http://evil.org:8080",
        "Sec-Fetch-Site": "same-origin",
    },
    "no address at all": {**JSON, **OWN, "Origin": "http://[evil", "Sec-Fetch-Site": "same-origin"},
    "our own page without the header": {**JSON, "Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"},
}

ALLOWED: Mapping[str, Mapping[str, str]] = {
    "the terminal client": {**JSON, "User-Agent": "python-requests/2.32"},
    "curl with its own type": {**FORM, "User-Agent": "curl/8"},
    "gcloud functions call": {**JSON, "User-Agent": "google-cloud-sdk", "Authorization": "Bearer identity"},
    "our page through the proxy": {
        **JSON, **OWN, "Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin", "Host": SERVICE
    },
    "our page at 127.0.0.1": {**JSON, **OWN, "Origin": "http://127.0.0.1:9000", "Sec-Fetch-Site": "same-origin"},
    "our page at the service itself": {
        **JSON, **OWN, "Origin": f"https://{SERVICE}", "Sec-Fetch-Site": "same-origin", "Host": SERVICE
    },
    "our page in an old browser": {**JSON, **OWN, "Origin": "http://localhost:8080"},
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def client(site: Site, tmp_path: Path) -> FlaskClient:
    return app_of(site.ingest, tmp_path).test_client()


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_foreign_pages_start_nothing(site: Site, client: FlaskClient, headers: Mapping[str, str]) -> None:
    for path, document in (("/start", START), ("/", {"operation": "start", **START}), ("/expand", {"block": "x"})):
        answer = client.post(path, data=json.dumps(document), headers=dict(headers))
        assert (answer.status_code, answer.get_json()["code"]) == (403, 403)
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert site.waiting() == 0


@pytest.mark.parametrize("headers", ALLOWED.values(), ids=ALLOWED)
def test_clients_and_our_own_page_are_served(site: Site, client: FlaskClient, headers: Mapping[str, str]) -> None:
    answer = client.post("/", data=json.dumps({"operation": "start", **START}), headers=dict(headers))
    assert (answer.status_code, answer.get_json()["state"]) == (200, "running")
    assert site.waiting() == 1


def test_browsers_are_told_nothing_that_lets_a_foreign_page_send_our_header(client: FlaskClient) -> None:
    asked = {"Origin": "https://evil.org", "Access-Control-Request-Method": "POST"}
    answer = client.options("/start", headers={**asked, "Access-Control-Request-Headers": "x-l2cache-request"})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


def test_reading_is_allowed_to_whoever_may_ask(site: Site, client: FlaskClient) -> None:
    site.start()
    came_by_a_link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get(f"/status?dataset={GRAPH_ID}", headers=came_by_a_link).status_code == 200
