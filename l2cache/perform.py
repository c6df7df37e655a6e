"""Doing an operation and showing its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from l2cache import next_steps, summary
from l2cache.client import CallError
from l2cache.described import Description, OperationDescription
from l2cache.terminal import REFUSED, SUCCESS, UNREACHABLE, Terminal
from l2cache.watch import Watch

PAGE = 1000
"""So many failed chunks or blocks are asked for at a time."""


@dataclass(frozen=True)
class Output:
    """How an answer is shown.

    Attributes:
      as_json: the document rather than a summary.
      watch: stay until the run ends.
      interval_s: seconds between two calls while watching.
    """

    as_json: bool = False
    watch: bool = False
    interval_s: float = 1.0


def perform(
    terminal: Terminal,
    description: Description,
    operation: OperationDescription,
    arguments: Mapping[str, Any],
    output: Output,
) -> int:
    """Does an operation and shows what it answered, or why it was refused.

    Args:
      terminal: where.
      description: of all operations.
      operation: which.
      arguments: the fields that were given; None for those that were not.
      output: how to show the answer.

    Returns:
      The exit status.
    """
    try:
        if operation.listed is not None:
            document = _all_pages(terminal, operation, operation.listed, arguments)
        else:
            document = terminal.client.call(operation.name, **_with_reasons(operation, arguments, output))
        return _show(terminal, operation, arguments, document, output)
    except CallError as error:
        click.echo(f"Error: {error}", err=True)
        if step := next_steps.after_refusal(terminal, description, operation, arguments, error):
            terminal.advise(step)
        return REFUSED if error.refused else UNREACHABLE


def _with_reasons(operation: OperationDescription, arguments: Mapping[str, Any], output: Output) -> dict[str, Any]:
    """People are told what is retried, whether they asked for it or not."""
    asks = any(field.name == "retrying" for field in operation.fields) and not output.as_json
    return {**arguments, "retrying": True} if asks else dict(arguments)


def _all_pages(
    terminal: Terminal, operation: OperationDescription, listed: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """All pages in one document; what is not listed is that of the last one."""
    found: list[Any] = []
    document: dict[str, Any] = {}
    after: str | None = None
    while after != "":
        document = terminal.client.call(operation.name, **{**arguments, "limit": PAGE, "after": after})
        found += document[listed]
        after = document["next"]
    return {**document, listed: found}


def _show(
    terminal: Terminal,
    operation: OperationDescription,
    arguments: Mapping[str, Any],
    document: dict[str, Any],
    output: Output,
) -> int:
    if output.watch:
        return _watch(terminal, arguments["dataset"], document, output)
    if output.as_json:
        click.echo(summary.as_json(document))
        return SUCCESS
    if text := summary.text_of(operation.answer, document):
        click.echo(text)
    if step := _next_step(terminal, operation, arguments, document):
        terminal.advise(step)
    return SUCCESS


def _next_step(
    terminal: Terminal, operation: OperationDescription, arguments: Mapping[str, Any], document: Mapping[str, Any]
) -> str:
    if operation.answer == "plan":
        return next_steps.after_plan(terminal, arguments, document)
    if operation.answer == "failed":
        run = ("--run", arguments["run"]) if arguments.get("run") else ()
        again = terminal.command("retry", arguments["dataset"], *run)
        return f"Do only these again: {again}" if document["failed"] else "No chunk failed."
    return next_steps.after_status(terminal, document) if "state" in document else ""


def _watch(terminal: Terminal, dataset: str, document: dict[str, Any], output: Output) -> int:
    watch = Watch(terminal, dataset, output.interval_s)
    last, exit_status = watch.until_end(document)
    if output.as_json:
        click.echo(summary.as_json(last))
    elif last["state"] != "running":
        click.echo(f"{last['state']}: {last['rows']} rows, {last['failed_chunks']} failed chunks")
        if any(kind in last for kind in ("audit", "export", "import")):
            click.echo(summary.run_text(last))
        if last["failed_chunks"]:
            click.echo(watch.reasons(last), err=True)
        if step := next_steps.after_status(terminal, last):
            terminal.advise(step)
    return exit_status
