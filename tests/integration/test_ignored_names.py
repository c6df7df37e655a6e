"""What a client gives and the look-up does not know: it is told, or refused where it is meant for something known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.integration.test_lookup_function import CACHED, client, world
from tests.support.lookup_setup import ATTRIBUTES_PATH, World, json_of

__all__ = ["client", "world"]  # fixtures

HEADER = "X-L2Cache-Ignored"


def ask(client: FlaskClient, query: str = "", **keys: Any) -> TestResponse:
    return client.post(ATTRIBUTES_PATH + query, data=json.dumps({"l2_ids": CACHED, **keys}))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?int64_as_str=False",
        "?attribute_names=size_nm3,%20rep_coord_nm&update_cache=maybe",
        "?middle_auth_token=s3cret&int64_as_str=",
    ],
)
def test_what_is_known_is_not_named(client: FlaskClient, query: str) -> None:
    answer = ask(client, query, attribute_names=["pca"])
    assert answer.status_code == 200
    assert HEADER not in answer.headers
    assert HEADER not in ", ".join(answer.headers.getlist("Access-Control-Expose-Headers"))


def test_what_means_nothing_is_named_and_the_answer_is_the_same(client: FlaskClient) -> None:
    answer = ask(client, "?is_binary=true&l2_ids=5", update_cache=False, chunks=[1])
    assert (answer.status_code, json_of(answer)) == (200, json_of(ask(client)))
    assert answer.headers[HEADER] == "is_binary, l2_ids, update_cache, chunks"
    assert HEADER in ", ".join(answer.headers.getlist("Access-Control-Expose-Headers"))


def test_names_that_no_header_can_carry_are_quoted_and_cut(client: FlaskClient) -> None:
    many = {f"key{number}": 1 for number in range(100)}
    answer = ask(client, "?%0D%0ASet-Cookie:%20a=1&%F0%9F%A7%A0=1", **many, **{"x" * 10_000: 1})
    assert answer.status_code == 200
    assert answer.headers[HEADER].startswith("%0D%0ASet-Cookie%3A%20a, %F0%9F%A7%A0, key0, ")
    assert len(answer.headers[HEADER]) < 2000


@pytest.mark.parametrize("name", ["attributes", "attribute", "attributeNames", "attribute-names", "Attribute_Name"])
@pytest.mark.parametrize("place", ["query", "body"])
def test_what_is_meant_for_the_attributes_is_refused(client: FlaskClient, name: str, place: str) -> None:
    answer = ask(client, f"?{name}=size_nm3") if place == "query" else ask(client, **{name: ["size_nm3"]})
    assert answer.status_code == 400
    assert json_of(answer)["message"] == f"{name!r} is not known: say attribute_names"


@pytest.mark.parametrize(
    ("query", "known"), [("?int64AsStr=true", "int64_as_str"), ("?update-cache=false", "update_cache")]
)
def test_so_is_another_spelling_of_a_parameter(client: FlaskClient, query: str, known: str) -> None:
    answer = ask(client, query)
    assert (answer.status_code, known in json_of(answer)["message"]) == (400, True)


@pytest.mark.parametrize("path", ["attribute_metadata", "table_mapping"])
def test_open_routes_tell_it_too(client: FlaskClient, path: str) -> None:
    plain = client.get(f"/l2cache/api/v1/{path}")
    answer = client.get(f"/l2cache/api/v1/{path}?colour=red&middle_auth_token=s3cret")
    assert (answer.status_code, answer.data) == (200, plain.data)
    assert answer.headers[HEADER] == "colour"
    assert HEADER not in plain.headers


def test_the_name_of_the_tokens_parameter_can_be_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    named = world.client(monkeypatch, TOKEN_NAME="cave_token")  # noqa: S106  # a name
    assert HEADER not in ask(named, "?cave_token=s3cret").headers
