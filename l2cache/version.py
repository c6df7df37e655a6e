"""The client's version."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "l2cache"


def own_version() -> str:
    """The version of the installed distribution, or of the checkout that this runs in."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        project = Path(__file__).resolve().parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])
