"""Serving a page's files: caching, types, the policy, and who gets a page where others get what they always got."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient

from shared.web.answers import enable_gzip
from shared.web.errors import answer_errors
from shared.web.page import Page, lead_to_page, wants_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SCRIPT = b"console.log(1)\n" * 50


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    files = {"index.html": (b"<!doctype html>", "text/html"), "p-0a.js": (SCRIPT, "text/javascript")}
    for name, (content, _) in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "secret.txt").write_text("not listed")
    listed = {name: {"type": kind, "sha256": hashlib.sha256(text).hexdigest()} for name, (text, kind) in files.items()}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": listed}))
    app = flask.Flask("page")
    answer_errors(app, 1)
    enable_gzip(app)
    page = Page(tmp_path)
    page.add_assets(app, "/here")
    lead_to_page(app, "/", "here/")
    app.add_url_rule("/here/", "home", lambda: page.response() if wants_page(flask.request) else "text")
    return app.test_client()


def test_a_browser_gets_the_page_and_everybody_else_the_text(client: FlaskClient) -> None:
    assert client.get("/here/", headers={"Accept": BROWSER}).data == b"<!doctype html>"
    for accepted in ("*/*", "application/json", "text/plain", "text/plain, text/html", ""):
        assert client.get("/here/", headers={"Accept": accepted}).data == b"text"
    assert client.get("/here/").data == b"text"


def test_a_page_is_asked_for_each_time_and_runs_its_own_scripts_only(client: FlaskClient) -> None:
    answer = client.get("/here/", headers={"Accept": BROWSER})
    assert answer.mimetype == "text/html"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"]
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    known = {"Accept": BROWSER, "If-None-Match": answer.headers["ETag"]}
    again = client.get("/here/", headers=known)
    assert (again.status_code, again.data) == (304, b"")


def test_a_file_is_kept_for_ever_and_has_its_type(client: FlaskClient) -> None:
    answer = client.get("/here/assets/p-0a.js")
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "text/javascript", SCRIPT)
    assert "immutable" in answer.headers["Cache-Control"]
    packed = client.get("/here/assets/p-0a.js", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(SCRIPT) / 2
    head = client.head("/here/assets/p-0a.js")
    assert (head.status_code, head.data, head.content_length) == (200, b"", len(SCRIPT))


@pytest.mark.parametrize("name", ["secret.txt", "manifest.json", "index.html", "nope.js", "..%2fsecret.txt", "a/b"])
def test_only_what_the_manifest_lists_is_served(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/here/assets/{name}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, 404)


def test_browsers_are_led_to_the_page_and_nothing_else_changes(client: FlaskClient) -> None:
    led = client.get("/", headers={"Accept": BROWSER})
    assert (led.status_code, led.headers["Location"]) == (302, "here/")
    assert client.get("/").status_code == 404
    assert client.post("/", headers={"Accept": BROWSER}).status_code == 404
