"""The commands of `l2cache`: one for each operation of the ingest function, dead letters, and completion.

Exit status: 0 when all went well; 1 when a run that was watched has failed chunks or was cancelled; 2 when the function
refused, or an argument is wrong; 3 when it could not be asked; 130 after Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import get_completion_class

from l2cache.client import IngestClient
from l2cache.deadletters.commands import main as deadletters
from l2cache.described import Description, OperationDescription, own_description
from l2cache.parameters import parameter
from l2cache.perform import Output, perform
from l2cache.terminal import INTERRUPTED, Terminal
from l2cache.version import own_version

PROGRAM = "l2cache"
WATCHED = ("run", "started")
"""Answers after which a run can be watched."""

_PAGED = ("limit", "after")  # the client asks for all pages itself
_URL_VARIABLE = "L2CACHE_INGEST_URL"


@click.group(PROGRAM, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(own_version(), prog_name=PROGRAM)
@click.option(
    "--url",
    default="http://localhost:8082",
    show_default=True,
    envvar=_URL_VARIABLE,
    show_envvar=True,
    help="The ingest function.",
)
@click.option(
    "--token-command", default="", metavar="COMMAND", help="Prints a token: 'gcloud auth print-identity-token'."
)
@click.pass_context
def main(context: click.Context, url: str, token_command: str) -> None:
    """Plans, starts, watches, resumes, retries and cancels ingests of the L2 cache, local or deployed ones."""
    words = (context.info_name or PROGRAM).split()
    for option in ("url", "token_command"):
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            words += [f"--{option.replace('_', '-')}", context.params[option]]
    context.obj = Terminal(IngestClient(url, token_command), tuple(words))


def operation_command(operation: OperationDescription, description: Description) -> click.Command:
    """The command for an operation.

    Args:
      operation: which.
      description: of all operations.
    """
    is_watched, is_paged = operation.answer in WATCHED, operation.listed is not None
    fields = [field for field in operation.fields if not (is_paged and field.name in _PAGED)]
    parameters: list[click.Parameter] = [parameter(field, description.forms) for field in fields]
    parameters.append(click.Option(["--json", "as_json"], is_flag=True, help="The document instead of a summary."))
    if is_watched:
        parameters += [
            click.Option(["--watch"], is_flag=True, help="Stay and show the progress until the run ends."),
            click.Option(
                ["--interval", "interval_s"],
                type=click.FloatRange(min=0, min_open=True),
                default=1.0,
                show_default=True,
                help="Seconds between two looks while watching.",
            ),
        ]
    return click.Command(
        operation.name, params=parameters, callback=_callback(operation, description), help=operation.help
    )


def _callback(operation: OperationDescription, description: Description) -> Callable[..., None]:
    def run(as_json: bool, watch: bool = False, interval_s: float = 1.0, **arguments: Any) -> None:
        context = click.get_current_context()
        output = Output(as_json, watch, interval_s)
        try:
            context.exit(perform(context.obj, description, operation, arguments, output))
        except KeyboardInterrupt:
            context.exit(INTERRUPTED)

    return run


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints what makes a shell complete commands and options: eval "$(l2cache completion bash)"."""
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(script(main, {}, PROGRAM, "_L2CACHE_COMPLETE").source())


def _add_operations(description: Description) -> None:
    for operation in description.operations:
        main.add_command(operation_command(operation, description))


_add_operations(own_description())
main.add_command(deadletters, "deadletters")
