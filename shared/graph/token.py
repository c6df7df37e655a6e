"""The token that the graph server wants, from where CloudVolume keeps it.

The files are those of `cloudvolume.secrets.cave_credentials`; they are read here so that a function that only looks up
attributes need not import CloudVolume.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.config.settings import Settings
from shared.errors import ConfigurationError


def find_token(host: str, secrets_dirs: tuple[Path, ...]) -> str | None:
    """The token for a graph server.

    Args:
      host: the server's host, with its port if it has one.
      secrets_dirs: folders to look into, the preferred one first.

    Returns:
      The token of the first file that is there, or None if there is none: the server may not want one.

    Raises:
      ConfigurationError: if that file cannot be read or holds no token; the message names the file, not its content.
    """
    for name in (f"{host}-cave-secret.json", "cave-secret.json", "chunkedgraph-secret.json"):
        for folder in secrets_dirs:
            path = folder / name
            if path.is_file():
                return _token_in(path)
    return None


def token_for(host: str, settings: Settings) -> str | None:
    """The token for a graph server and for what goes with it: the settings' own, else that of CloudVolume's secrets.

    Args:
      host: the server's host, with its port if it has one.
      settings: may hold the token, and names CloudVolume's folder.

    Returns:
      The token, or None if there is none: the server may not want one.

    Raises:
      ConfigurationError: if it is no token, or its file cannot be read.
    """
    if settings.graph_token:
        return checked_token(settings.graph_token)
    return find_token(host, cloudvolume_secrets_dirs(settings.cloud_volume_dir))


def cloudvolume_secrets_dirs(cloud_volume_dir: Path | None) -> tuple[Path, ...]:
    """Where CloudVolume looks for secrets: its folder (`~/.cloudvolume` by default), then older versions' places."""
    home = Path.home()
    return (
        (cloud_volume_dir or home / ".cloudvolume") / "secrets",
        home / ".neuroglancer" / "secrets",
        Path("/secrets"),
    )


def checked_token(token: str) -> str:
    """The token without surrounding blanks.

    Raises:
      ConfigurationError: if it cannot stand in a header.
    """
    stripped = token.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ConfigurationError("the token for the graph server is empty or has characters that no token has")
    return stripped


def _token_in(path: Path) -> str:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Not chained: a JSON error carries the document, and so the token.
        raise ConfigurationError(f"the secret {path.name} cannot be read as JSON") from None
    token = content.get("token") if isinstance(content, dict) else content
    if not isinstance(token, str):
        raise ConfigurationError(f"the secret {path.name} has no token")
    return checked_token(token)
