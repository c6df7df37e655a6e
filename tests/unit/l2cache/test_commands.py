"""The commands that are made from the description of the ingest function's operations."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from infra.packaging.describe_operations import FILE, text
from l2cache.commands import PROGRAM, main, operation_command
from l2cache.described import Description
from shared.ingest.control.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[3]


def test_the_clients_description_is_that_of_the_table() -> None:
    assert FILE.read_text() == text(), "run python -m infra.packaging.describe_operations"


def test_every_operation_is_a_command_with_an_option_for_every_field() -> None:
    for operation in OPERATIONS:
        command = main.commands[operation.name]
        names = {parameter.name for parameter in command.params}
        pages = {"limit", "after"} if operation.name in ("failed", "coverage") else set()
        assert {field.name for field in operation.fields} - pages <= names
        assert command.help == operation.help


def test_an_operation_of_any_kind_of_field_becomes_a_command() -> None:
    fields = [
        {"name": "dataset", "kind": "text", "help": "Name.", "required": True},
        {"name": "how_many", "kind": "whole", "help": "Number.", "default": 3, "least": 1, "most": 9},
        {"name": "loud", "kind": "flag", "help": "Whether.", "default": False},
        {"name": "tidy", "kind": "flag", "help": "Whether.", "default": True},
        {"name": "colour", "kind": "choice", "help": "Which.", "choices": ["red", "blue"]},
        {"name": "bounding_box", "kind": "box", "help": "Where."},
    ]
    operation = {"name": "paint", "help": "Paints.", "answer": "document", "fields": fields}
    description = Description.from_document({"operations": [operation], "forms": {}})
    command = operation_command(description.operations[0], description)

    def given(*arguments: str) -> dict[str, object]:
        values = command.make_context("paint", list(arguments)).params
        return {name: value for name, value in values.items() if value is not None and name != "as_json"}

    assert given("d") == {"dataset": "d"}
    assert given("d", "--how-many", "4", "--loud", "--no-tidy", "--colour", "red", "--bounding-box", "1,2,3:4,5,6") == {
        "dataset": "d", "how_many": 4, "loud": True, "tidy": False, "colour": "red",
        "bounding_box": [[1, 2, 3], [4, 5, 6]],
    }  # fmt: skip
    for wrong in (["--how-many", "10"], ["--colour", "green"], ["--bounding-box", "1,2:3,4"]):
        with pytest.raises(click.UsageError):
            given("d", *wrong)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert (done.exit_code, "_L2CACHE_COMPLETE" in done.stdout) == (0, True)


def test_commands_and_options_are_completed() -> None:
    complete = ShellComplete(main, {}, PROGRAM, "_L2CACHE_COMPLETE")
    assert {item.value for item in complete.get_completions([], "st")} == {"start", "status"}
    assert "--watch" in {item.value for item in complete.get_completions(["start", "d"], "--w")}
    assert {item.value for item in complete.get_completions(["deadletters"], "")} == {"list", "replay"}


def test_the_version_is_the_projects() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == "l2cache, version 1.0.0\n"


def test_the_client_needs_none_of_the_functions_code() -> None:
    """Where it is installed there is no `shared`, and no google-cloud-pubsub if nobody asked for it."""
    code = """
import json, sys
import l2cache.commands
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(json.loads(done.stdout)).isdisjoint({"shared", "infra", "functions", "tests", "grpc", "numpy"})
