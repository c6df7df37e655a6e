"""Who is refused, and what answers say of it, by the clock of the test."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from shared.lookup.caller import caller_of_request
from shared.lookup.limiter import CallerLimiter, answer_rate_limits
from shared.lookup.quota import SharedCounters
from shared.lookup.user_limits import IDS, QUERY, UserLimits
from shared.web.errors import answer_errors

LIMITS = UserLimits({QUERY: 2, IDS: 0}, {QUERY: 3, IDS: 10}, {"bulk": {IDS: 50}})
USERS: dict[str, Any] = {
    "person": {"id": 1, "service_account": False, "groups": []},
    "program": {"id": 2, "service_account": True, "groups": []},
    "member": {"id": 3, "service_account": False, "groups": ["bulk"]},
    "nobody": {"id": 0, "service_account": False, "groups": []},
}


@pytest.fixture
def client() -> FlaskClient:
    app = flask.Flask("limits")
    limiter = CallerLimiter(LIMITS, SharedCounters(None), clock=lambda: 6043.25)
    answer_errors(app, 10)
    answer_rate_limits(app)

    @app.get("/<user>/<int:ids>")
    def answer(user: str, ids: int) -> str:
        flask.g.auth_user = USERS[user]
        limiter.take_request(caller_of_request())
        limiter.take_ids(caller_of_request(), ids)
        return "done"

    app.add_url_rule("/free", "free", lambda: "done")
    return app.test_client()


def said(answer: Any) -> tuple[int, dict[str, str]]:
    prefix = "X-RateLimit-"
    headers = {name.removeprefix(prefix): value for name, value in answer.headers if name.startswith(prefix)}
    return answer.status_code, headers


def test_answers_say_how_the_caller_stands_and_when_its_minute_ends(client: FlaskClient) -> None:
    standing = [said(client.get("/person/5")) for _ in range(3)]
    reset = {"Limit": "2", "Reset": "6060"}
    assert standing == [(200, {**reset, "Remaining": left}) for left in "10"] + [(429, {**reset, "Remaining": "0"})]
    refused = client.get("/person/5")
    assert refused.headers["Retry-After"] == "17"
    assert refused.json == {"code": 429, "message": "more than 2 requests in a minute; wait 17 s"}


def test_each_category_of_user_has_its_limits(client: FlaskClient) -> None:
    _, program = said(client.get("/program/4"))
    assert program == {"Limit": "3", "Remaining": "2", "Reset": "6060", "Limit-Ids": "10", "Remaining-Ids": "6"}
    _, member = said(client.get("/member/4"))
    assert member == {"Limit": "2", "Remaining": "1", "Reset": "6060", "Limit-Ids": "50", "Remaining-Ids": "46"}
    _, nobody = said(client.get("/nobody/4"))
    assert nobody == {"Limit": "2", "Remaining": "1", "Reset": "6060"}


def test_ids_beyond_what_is_left_are_refused_and_take_nothing(client: FlaskClient) -> None:
    refused = [client.get(f"/program/{ids}") for ids in (8, 3, 2)]
    assert [(answer.status_code, answer.headers["X-RateLimit-Remaining-Ids"]) for answer in refused] == [
        (200, "2"),
        (429, "2"),
        (200, "0"),
    ]
    assert refused[1].json == {"code": 429, "message": "more than 10 ids in a minute; wait 17 s"}


def test_more_ids_than_a_whole_minute_has_are_too_large(client: FlaskClient) -> None:
    answer = client.get("/program/11")
    assert (answer.status_code, "Retry-After" in answer.headers) == (413, False)
    assert answer.json == {"code": 413, "message": "11 ids were asked for, at most 10 are allowed in a minute"}


def test_what_is_not_limited_says_nothing_of_limits(client: FlaskClient) -> None:
    assert said(client.get("/free")) == (200, {})
