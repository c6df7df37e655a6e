"""Arguments and options of the command line that are made from the fields of an operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from l2cache.described import FieldDescription

_BOX = "X,Y,Z:X,Y,Z"
_METAVARS = {"moment": "MOMENT", "box": _BOX}
_AXES = 3


def parameter(field: FieldDescription, forms: Mapping[str, str]) -> click.Parameter:
    """The argument (of a required field) or option that gives a field its value; None where it is left out.

    Args:
      field: of an operation.
      forms: how a value of each kind is written.
    """
    if field.is_required:
        return click.Argument([field.name])
    option, text = f"--{field.name.replace('_', '-')}", field.help
    if field.kind == "flag":
        if field.default:
            option = f"{option}/--no-{field.name.replace('_', '-')}"
        return click.Option([field.name, option], is_flag=True, default=None, help=text)
    if field.kind == "moment":
        text = f"{text} Written as {forms['moment']}."
    return click.Option(
        [field.name, option],
        type=_type(field),
        metavar=_METAVARS.get(field.kind),
        callback=_corners if field.kind == "box" else None,
        help=text,
        show_default=False if field.default is None else str(field.default),
    )


def _type(field: FieldDescription) -> Any:
    if field.kind == "whole":
        return click.IntRange(field.least, field.most)
    return click.Choice(field.choices) if field.kind == "choice" else click.STRING


def _corners(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[list[float]] | None:
    """Low and high corner of a box."""
    if text is None:
        return None
    try:
        low, high = ([float(number) for number in corner.split(",")] for corner in text.split(":"))
    except ValueError:
        low = high = []
    if len(low) != _AXES or len(high) != _AXES:
        raise click.BadParameter(f"must look like {_BOX}")
    return [low, high]
