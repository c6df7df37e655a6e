"""Where the look-up's routes are."""

from __future__ import annotations

from shared.config.settings import Settings
from shared.web.description import OPENAPI_PATH

INDEX_PATHS = ("/", "/index", "/api/v1/", "/api/v1/index")
"""Where name and version are told, below the prefix."""


def prefixed(settings: Settings, path: str) -> str:
    """A path below the prefix that the settings name."""
    return f"/{settings.url_prefix}{path}" if settings.url_prefix else path


def description_paths(settings: Settings) -> tuple[str, ...]:
    """Where the description is: below the prefix, which alone a proxy may let through, and at the root."""
    return tuple(dict.fromkeys((prefixed(settings, OPENAPI_PATH), OPENAPI_PATH)))
