"""Calling the ingest function, wherever it runs."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT_S = 120.0


class CallError(Exception):
    """The ingest function refused, or could not be asked.

    Attributes:
      refused: whether it understood and refused, so that asking again is of no use.
    """

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True)
class IngestClient:
    """An ingest function.

    Attributes:
      url: its address.
      token_command: prints an identity token, for a function that asks for one; empty for none.
    """

    url: str
    token_command: str = ""

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Does an operation; arguments that are None are left out.

        Raises:
          CallError: with the function's own words, or why it could not be asked.
        """
        document = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = requests.post(
                self.url, json={"operation": operation, **document}, headers=self._headers(), timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            raise CallError(f"{self.url} does not answer ({type(error).__name__})", refused=False) from error
        try:
            decoded = answer.json()
        except requests.JSONDecodeError:
            decoded = {}
        if answer.ok and isinstance(decoded, dict):
            return decoded
        said = decoded.get("message") if isinstance(decoded, dict) else None
        refused = 400 <= answer.status_code < 500
        raise CallError(said or f"{self.url} answered {answer.status_code}", refused=refused)

    def _headers(self) -> dict[str, str]:
        if not self.token_command:
            return {}
        try:
            done = subprocess.run(shlex.split(self.token_command), capture_output=True, text=True, check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise CallError(f"the token command failed ({type(error).__name__})", refused=True) from error
        return {"Authorization": f"Bearer {done.stdout.strip()}"}
