import re
from pathlib import Path

import pytest

from shared.config.settings import Settings
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


def test_every_variable_is_in_the_documentation() -> None:
    root = Path(__file__).parents[3]
    read = set(re.findall(r'"([A-Z0-9_]{5,})"', (root / "shared" / "config" / "settings.py").read_text())) - {
        "DEBUG",
        "ERROR",
        "WARNING",
    }
    page = (root / "docs" / "configuration.md").read_text()
    assert len(read) > 10
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []
