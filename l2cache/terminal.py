"""What a command needs of the terminal that it was typed in."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import click

from l2cache.client import IngestClient

SUCCESS, RUN_FAILED, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses; see docs/terminal.md."""


@dataclass(frozen=True)
class Terminal:
    """The client and the command line that it was made by.

    Attributes:
      client: the ingest function.
      program: the words in front of a command, with the options that say which function is meant.
    """

    client: IngestClient
    program: tuple[str, ...]

    def command(self, *words: Any) -> str:
        """A command that can be copied into this terminal."""
        return shlex.join([*self.program, *map(str, words)])

    def advise(self, text: str) -> None:
        """Tells what to do next, beside the output."""
        click.secho(text, err=True, dim=True)
