import dataclasses
from pathlib import Path

import pytest

from infra.packaging import settings_page
from shared.config.settings import Declared, Settings, declared_settings
from shared.errors import ConfigurationError

NEEDED = {
    "L2CACHE_DATASETS": "/d.yaml",
    "L2CACHE_STORE": "sqlite:////c.db",
    "L2CACHE_BUS": "sqlite:////b.db",
    "L2CACHE_QUEUE": "sqlite:////q.db",
}


def test_defaults_hold_where_nothing_is_said() -> None:
    settings = Settings.from_environment(NEEDED)
    assert settings.datasets_file == Path("/d.yaml")
    assert (settings.url_prefix, settings.miss_pause_s, settings.threads) == ("l2cache", 60.0, 1)


def test_every_value_can_be_set() -> None:
    settings = Settings.from_environment(
        {**NEEDED, "PCGL2CACHE_URL_PREFIX": "/other/", "L2CACHE_MISS_PAUSE_S": "2.5", "L2CACHE_LOG_LEVEL": "debug"}
    )
    assert (settings.url_prefix, settings.miss_pause_s, settings.log_level) == ("other", 2.5, "DEBUG")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("L2CACHE_MAX_IDS", "many"),
        ("L2CACHE_MAX_IDS", "0"),
        ("L2CACHE_MISS_PAUSE_S", "-1"),
        ("L2CACHE_MISS_PAUSE_S", "nan"),
        ("L2CACHE_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_refused_and_the_variable_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({**NEEDED, name: value})


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({key: value for key, value in NEEDED.items() if key != name})


def test_every_field_says_of_itself_where_it_is_read_and_what_it_means() -> None:
    declared = list(declared_settings())
    assert [one.name for one in declared] == [field.name for field in dataclasses.fields(Settings)]
    assert len({one.setting.variable for one in declared}) == len(declared)
    assert all(one.setting.meaning for one in declared)
    assert {one.setting.variable for one in declared if one.default is ...} == set(NEEDED)


@pytest.mark.parametrize("one", list(declared_settings()), ids=lambda one: one.name)
def test_every_variable_sets_its_field_and_numbers_have_limits(one: Declared) -> None:
    text = {int: "7001", float: "7001.5", str: "some/text", Path: "/a/folder"}[one.kind]
    text = one.setting.choices[-1] if one.setting.choices else text
    changed = {**NEEDED, one.setting.variable: f" {text} "}
    assert getattr(Settings.from_environment(changed), one.name) == one.kind(text)
    if one.kind in (int, float):
        too_small = {**NEEDED, one.setting.variable: str(one.kind(one.setting.least) - 1)}
        with pytest.raises(ConfigurationError, match=one.setting.variable):
            Settings.from_environment(too_small)


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(Settings.from_environment({**NEEDED, "L2CACHE_GRAPH_TOKEN": "secret"}))


def test_the_page_of_settings_is_up_to_date() -> None:
    page = settings_page.PAGE.read_text()
    assert page == settings_page.with_settings(page, declared_settings()), (
        "run `python -m infra.packaging.settings_page`"
    )
    assert page.count("| `L2CACHE_") > 20


def test_a_page_without_a_place_for_the_settings_is_refused() -> None:
    with pytest.raises(ValueError, match="the page needs"):
        settings_page.with_settings("# Configuration", declared_settings())
