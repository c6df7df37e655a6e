"""What an operator may want to do next: after an answer, and after a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2cache.client import CallError
from l2cache.described import Description, OperationDescription
from l2cache.terminal import Terminal

_TOKEN_COMMAND = "gcloud auth print-identity-token"  # noqa: S105  # a command that prints one


def after_plan(terminal: Terminal, arguments: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """How to start what was planned, at the plan's own moment of the graph."""
    options: list[str] = ["--timestamp", document["timestamp"]]
    if arguments.get("bounding_box"):
        options += ["--bounding-box", ":".join(",".join(f"{x:g}" for x in c) for c in arguments["bounding_box"])]
    if arguments.get("unit"):
        options += ["--unit", arguments["unit"]]
    if arguments.get("test"):
        options.append("--test")
    return f"Start it: {terminal.command('start', arguments['dataset'], *options)}"


def after_status(terminal: Terminal, document: Mapping[str, Any]) -> str:
    """What can be done about a run; nothing if it is finished and whole."""
    run = (document.get("dataset", ""), "--run", document["run_id"])
    if document["state"] == "running":
        return f"Watch it: {terminal.command('status', *run, '--watch')}"
    if document["state"] == "cancelled":
        return f"Go on with it: {terminal.command('start', run[0], '--resume', *run[1:])}"
    if document.get("failed_chunks"):
        return (
            f"See what failed: {terminal.command('failed', *run)}\n"
            f"Do only that again: {terminal.command('retry', *run)}"
        )
    if document.get("audit", {}).get("missing"):
        again = terminal.command("audit", run[0], "--timestamp", document["timestamp"], "--repair")
        return f"Compute what is missing: {again}"
    return ""


def after_interrupt(terminal: Terminal, document: Mapping[str, Any]) -> str:
    """Ctrl-C ends the watching, not the run."""
    run = (document["dataset"], "--run", document["run_id"])
    return (
        "The run goes on.\n"
        f"Watch it again: {terminal.command('status', *run, '--watch')}\n"
        f"Cancel it: {terminal.command('cancel', *run)}"
    )


def after_refusal(
    terminal: Terminal,
    description: Description,
    operation: OperationDescription,
    arguments: Mapping[str, Any],
    error: CallError,
) -> str:
    """What would help against a refusal; nothing if that is not known."""
    if error.status is None:
        return "" if error.refused else _when_unreachable(terminal)
    if error.status in (401, 403):
        return f"A deployed function wants a token: --token-command '{_TOKEN_COMMAND}'"
    if error.status == 400:
        return _form(description, operation, str(error))
    if error.status == 404:
        return _when_missing(terminal, operation, arguments)
    return _beside_run(terminal, arguments) if error.status == 409 else ""


def _when_unreachable(terminal: Terminal) -> str:
    return (
        f"Is {terminal.client.url} the ingest function's address? Give it with --url or L2CACHE_INGEST_URL; "
        "`make stack` starts a local one."
    )


def _form(description: Description, operation: OperationDescription, message: str) -> str:
    """How the field that a message begins with is written, if there is more to say than the message does."""
    for field in operation.fields:
        if message.startswith(f"{field.name} ") and field.kind == "moment":
            return f"Accepted forms of {field.name}: {description.forms[field.kind]}"
    return ""


def _when_missing(terminal: Terminal, operation: OperationDescription, arguments: Mapping[str, Any]) -> str:
    dataset = arguments.get("dataset", "DATASET")
    if arguments.get("create") is False:
        return f"Without --no-create the table is made: {terminal.command(operation.name, dataset)}"
    if arguments.get("run"):
        return f"The runs that there are: {terminal.command('runs', dataset)}"
    return f"Start an ingest first: {terminal.command('start', dataset)}"


def _beside_run(terminal: Terminal, arguments: Mapping[str, Any]) -> str:
    """What can be done about the run that stands in the way: the one that was named, or the newest."""
    try:
        document = terminal.client.call("status", dataset=arguments.get("dataset"), run=arguments.get("run"))
    except CallError:
        return ""  # the refusal itself has been told
    step = after_status(terminal, document)
    if document["state"] == "running":
        step += f"\nCancel it: {terminal.command('cancel', document['dataset'], '--run', document['run_id'])}"
    return step
