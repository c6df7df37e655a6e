"""Where the look-up's page is, and what becomes of a token that the login page sends along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from shared.config.version import TITLE
from tests.support.lookup_setup import World
from tests.unit.web.test_page import BROWSER

AS_BROWSER = {"Accept": BROWSER}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return World(tmp_path, "http://127.0.0.1:1").client(monkeypatch)


def test_browsers_get_the_page_and_its_files(client: FlaskClient) -> None:
    page = client.get("/l2cache/", headers=AS_BROWSER)
    assert page.mimetype == "text/html"
    files = re.findall(r'(?:src|href)="(assets/[^"]+)"', page.text)
    assert len(files) >= 4
    for file in files:
        assert client.get(f"/l2cache/{file}").status_code == 200


@pytest.mark.parametrize(("path", "target"), [("/", "l2cache/"), ("/l2cache", "l2cache/")])
def test_browsers_are_led_there(client: FlaskClient, path: str, target: str) -> None:
    led = client.get(path, headers=AS_BROWSER)
    assert (led.status_code, led.headers["Location"]) == (302, target)


def test_all_others_get_what_they_always_got(client: FlaskClient) -> None:
    for path in ("/l2cache/", "/l2cache", "/l2cache/index", "/l2cache/api/v1/"):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype, answer.text) == (200, "text/plain", TITLE)
    assert client.get("/l2cache/index", headers=AS_BROWSER).text == TITLE
    assert (client.get("/").status_code, client.get("/").mimetype) == (404, "application/json")


def test_without_a_prefix_the_page_is_at_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = World(tmp_path, "http://127.0.0.1:1").client(monkeypatch, PCGL2CACHE_URL_PREFIX="/")
    assert client.get("/", headers=AS_BROWSER).mimetype == "text/html"
    assert client.get("/").text == TITLE


def test_a_token_from_the_login_page_becomes_a_cookie_and_leaves_the_address(client: FlaskClient) -> None:
    kept = client.get("/l2cache/?middle_auth_token=s3cret&token=s3cret", headers=AS_BROWSER)
    assert (kept.status_code, kept.headers["Location"]) == (302, "./")
    cookie = kept.headers["Set-Cookie"]
    assert cookie.startswith("middle_auth_token=s3cret;")
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    assert kept.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in client.get("/l2cache/?middle_auth_token=s3cret").headers
