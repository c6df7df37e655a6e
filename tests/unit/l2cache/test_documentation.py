"""The commands of docs/terminal.md: that they are commands, with these arguments."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest

from infra.local.stack import main as stack
from infra.standin.build import main as build
from infra.standin.serve import main as serve
from l2cache.commands import main
from l2cache.terminal import INTERRUPTED, REFUSED, RUN_FAILED, SUCCESS, UNREACHABLE

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "terminal.md").read_text()
PROGRAMS: dict[str, click.Command] = {
    "l2cache": main,
    "python -m l2cache": main,
    "python -m infra.local.stack": stack,
    "python -m infra.standin.build": build,
    "python -m infra.standin.serve": serve,
}


def written() -> list[str]:
    """Every command of a program of ours, from blocks and from sentences."""
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
    inner = [text for line in lines for text in re.findall(r"\$\(([^)]*)\)", line)]
    inline = re.findall(r"`((?:l2cache|python -m infra\.(?:local|standin)\S*) [^`]+)`", PAGE)
    return [text for text in lines + inner + inline if text.startswith(tuple(PROGRAMS))]


def test_the_page_shows_every_command() -> None:
    shown = {
        words[1] for words in map(shlex.split, written()) if words[0] == "l2cache" and not words[1].startswith("-")
    }
    assert set(main.commands) <= shown | {"runs"}
    assert "l2cache --token-command 'gcloud auth print-identity-token' runs" in PAGE


@pytest.mark.parametrize("text", written())
def test_a_written_command_is_understood(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".stack" / "mine").mkdir(parents=True)
    program = next(name for name in sorted(PROGRAMS, key=len, reverse=True) if text.startswith(name))
    words = shlex.split(text.removeprefix(program).partition(" > ")[0], comments=True)
    command: click.Command = PROGRAMS[program]
    context: click.Context | None = None
    while True:
        # Parses what belongs to this command, and raises click.UsageError where it cannot; --version ends at once.
        with contextlib.suppress(click.exceptions.Exit):
            context = command.make_context(command.name or program, list(words), parent=context)
        if context is None:
            assert words == ["--version"]
            return
        if not isinstance(command, click.Group):
            return
        rest = [*context._protected_args, *context.args]
        _, found, words = command.resolve_command(context, rest)
        assert found is not None
        command = found


def test_the_exit_statuses_are_the_clients() -> None:
    rows = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.M)}
    assert rows == {SUCCESS, RUN_FAILED, REFUSED, UNREACHABLE, INTERRUPTED}
