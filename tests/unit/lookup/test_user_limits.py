"""Limits by category of user, as settings name them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.config.settings import Settings
from shared.errors import ConfigurationError
from shared.lookup.user_limits import IDS, QUERY, UserLimits

NEEDED = {"L2CACHE_DATASETS": "/d.yaml", "L2CACHE_STORE": "s", "L2CACHE_BUS": "b", "L2CACHE_QUEUE": "q"}
# what middle-auth-client gives of the authentication service's answer
PERSON: dict[str, Any] = {"id": 17, "service_account": False, "admin": False, "groups": ["default"]}


def limits(**variables: str) -> UserLimits:
    return UserLimits.from_settings(Settings.from_environment({**NEEDED, **variables}))


def both(found: UserLimits, user: object) -> tuple[int, int]:
    return found.of(user, QUERY), found.of(user, IDS)


def test_without_categories_everybody_has_the_same_and_ids_have_no_limit() -> None:
    assert both(limits(), PERSON) == both(limits(), None) == (600, 0)
    named = limits(L2CACHE_REQUESTS_PER_MINUTE="7", L2CACHE_IDS_PER_MINUTE="9")
    assert both(named, {**PERSON, "service_account": True}) == (7, 9)


def test_categories_as_caves_services_have_them_go_first_and_others_are_left_alone() -> None:
    # as cave-helm-charts write it for the chunked graph's server
    found = limits(LIMITER_CATEGORIES='{"query":"100/minute","fast_query":"2000/minute"}', L2CACHE_IDS_PER_MINUTE="9")
    assert both(found, PERSON) == (100, 9)
    assert both(limits(LIMITER_CATEGORIES='{"ids": "5000000 per 1 minute"}'), PERSON) == (600, 5_000_000)


def test_service_accounts_have_limits_of_their_own() -> None:
    found = limits(LIMITER_SERVICE_ACCOUNT_CATEGORIES='{"query": "20000/minute"}', L2CACHE_IDS_PER_MINUTE="9")
    assert both(found, {**PERSON, "service_account": True}) == (20_000, 9)
    assert both(found, PERSON) == both(found, {"id": 0}) == (600, 9)


def test_of_the_limits_of_groups_the_largest_counts() -> None:
    found = limits(
        L2CACHE_LIMITER_GROUPS='{"class": {"query": "10/minute"}, "bulk": {"query": "6000/minute", "ids": "5/minute"}}',
        LIMITER_SERVICE_ACCOUNT_CATEGORIES='{"query": "20/minute"}',
    )
    assert both(found, {**PERSON, "groups": ["default", "class"]}) == (10, 0)
    assert both(found, {**PERSON, "groups": ["class", "bulk"]}) == (6000, 5)
    assert both(found, {**PERSON, "groups": ["class"], "service_account": True}) == (20, 0)
    assert both(found, {**PERSON, "groups": {"bulk": 1}}) == both(found, {**PERSON, "groups": [["bulk"]]}) == (600, 0)


@pytest.mark.parametrize("variable", ["LIMITER_CATEGORIES", "LIMITER_SERVICE_ACCOUNT_CATEGORIES"])
@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[]",
        "null",
        '"600/minute"',
        '{"query": 600}',
        '{"query": "600"}',
        '{"query": "600/hour"}',
        '{"query": "600/2 minutes"}',
        '{"query": "1/minute;9/minute"}',
        '{"query": "2e+08/minute"}',
        '{"query": "0/minute"}',
        '{"ids": null}',
    ],
)
def test_what_cannot_be_read_stops_the_function_and_names_the_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        limits(**{variable: value})


@pytest.mark.parametrize("value", ['{"g": "600/minute"}', '{"g": {"query": "many"}}', '["g"]'])
def test_groups_that_cannot_be_read_stop_the_function(value: str) -> None:
    with pytest.raises(ConfigurationError, match="L2CACHE_LIMITER_GROUPS"):
        limits(L2CACHE_LIMITER_GROUPS=value)
